import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from '../../../src/cli/client.ts'
import { serveApi } from '../../../src/http/server.ts'
import { FakeNode } from '../../fixtures/fake-node.ts'
import { temporaryFolder } from '../../fixtures/nodes.ts'

test('the log gets an error in full, and the client gets only words of ours', async t => {
  const node = new FakeNode()
  const dataDir = await temporaryFolder(t)
  const logged: Array<[string, unknown]> = []
  const log = (what: string, error: unknown): void => void logged.push([what, error])
  const api = await serveApi(node, { dataDir, listen: { host: '127.0.0.1', port: 0 }, log })
  t.after(() => api.close())
  const client = await Client.open({ dataDir })
  t.after(() => client.close())
  const fault = new Error('/home/me/secret is not there')
  const fail = async (): Promise<never> => {
    throw fault
  }
  Object.assign(node.hooks, { stat: fail, put: fail })
  const words = { code: 'io', message: 'something went wrong' }
  await assert.rejects(client.call('stat', { path: '/f' }), words)
  const bundle = client.bundle({})
  await assert.rejects(bundle.put('/f', Buffer.from('x'), {}), words)
  await bundle.end()
  assert.deepEqual(logged, [
    ['a request failed', fault],
    ['a file of a bundle was not put', fault]
  ])
})
