import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Client } from '../../../src/cli/client.ts'
import { serveApi } from '../../../src/http/server.ts'
import { FakeNode, Fault, TOKEN } from '../../fixtures/fake-node.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

test('the log names the route and the error, and neither the log nor the client gets messages of other software', async t => {
  const node = new FakeNode()
  const dataDir = await temporaryFolder(t)
  const logger = new RecordingLogger()
  const api = await serveApi(node, { dataDir, listen: { host: '127.0.0.1', port: 0 }, logger })
  t.after(() => api.close())
  const client = await Client.open({ dataDir })
  t.after(() => client.close())
  const fault = Object.assign(new Error('/home/me/secret is not there'), { code: 'ENOENT' })
  const fail = async (): Promise<never> => {
    throw fault
  }
  Object.assign(node.hooks, { stat: fail, put: fail })
  const words = { code: 'io', message: 'something went wrong' }
  await assert.rejects(client.call('stat', { path: '/f' }), words)
  const bundle = client.bundle({})
  await assert.rejects(bundle.put('/f', Buffer.from('x'), {}), words)
  await bundle.end()
  assert.deepEqual(logger.lines, [
    'dfs:http GET /v1/stat/* failed: Error (ENOENT)',
    'dfs:http a file of a bundle was not put: Error (ENOENT)'
  ])
})

test('the log of a request that no route serves, or that Fastify refuses, names no URL', async t => {
  const dataDir = await temporaryFolder(t)
  const logger = new RecordingLogger()
  const listen = { host: '127.0.0.1', port: 0 }
  const api = await serveApi(new FakeNode(), { dataDir, listen, logger })
  t.after(() => api.close())
  const { token } = JSON.parse(await readFile(join(dataDir, 'api.json'), 'utf8'))
  const headers = { authorization: `Bearer ${token}` }
  assert.equal((await fetch(`${api.url}/secret`, { headers })).status, 404)
  assert.equal((await fetch(`${api.url}/v1/stat/%zz-secret`, { headers })).status, 400)
  assert.equal((await fetch(`${api.url}/v1/stat/secret`)).status, 401)
  assert.deepEqual(logger.lines, [
    'dfs:http GET without a route failed: HttpError (not-found)',
    'dfs:http GET without a route failed: FastifyError (FST_ERR_BAD_URL)',
    'dfs:http GET /v1/stat/* failed: HttpError (not-allowed)'
  ])
})

test('the token of an invite is in the answer that makes it, and in no log, not even when it is refused', async t => {
  const node = new FakeNode()
  const dataDir = await temporaryFolder(t)
  const logger = new RecordingLogger()
  const api = await serveApi(node, { dataDir, listen: { host: '127.0.0.1', port: 0 }, logger })
  t.after(() => api.close())
  const client = await Client.open({ dataDir })
  t.after(() => client.close())
  assert.equal((await client.call('invite', {})).token, TOKEN)
  node.hooks.revokeInvite = async () => {
    throw new Fault('used-up', 'it was used up')
  }
  await assert.rejects(client.call('revokeInvite', { invite: TOKEN }), { code: 'used-up', message: 'it was used up' })
  assert.deepEqual(logger.lines, ['dfs:http POST /v1/invites/revoke failed: Fault: it was used up'])
})
