import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from '../../../src/cli/client.ts'
import { serveFake } from '../../fixtures/api.ts'
import { Fault } from '../../fixtures/fake-node.ts'

test('many puts share one request, and each gets its own answer in any order', async t => {
  const { node, dataDir } = await serveFake(t)
  const gate = Promise.withResolvers<void>()
  const put = node.put.bind(node)
  node.hooks.put = async (path, source, options) => {
    delete node.hooks.put
    await gate.promise
    return put(path, source, options)
  }
  const client = await Client.open({ dataDir })
  const bundle = client.bundle({ noClobber: true, replicas: '2', ack: '1' })
  const late = bundle.put('/late', Buffer.from('late'), {})
  const modified = new Date(1_700_000_000_123)
  const early = await bundle.put('/ä "b"', Buffer.from('early'), { modified, mode: 0o640, type: 'text/plain' })
  assert.deepEqual([early.path, early.size], ['/ä "b"', 5])
  gate.resolve()
  assert.equal((await late).path, '/late')
  await assert.rejects(bundle.put('/late', Buffer.from('again'), {}), { name: 'CliError', code: 'exists' })
  assert.equal((await bundle.put('/empty', new Uint8Array(0), {})).size, 0)
  await bundle.end()
  const file = node.files.get('/ä "b"')
  assert.deepEqual([file?.modified, file?.mode, file?.type], [modified, 0o640, 'text/plain'])
  const options = node.calls.find(({ call }) => call.startsWith('put'))?.options as Record<string, unknown>
  assert.deepEqual([options['noClobber'], options['replicas'], options['ack']], [true, 2, 1])
  client.close()
})

test('a bundle without puts sends no request; a failed bundle fails all its puts, also later ones', async t => {
  const { node, api, dataDir } = await serveFake(t)
  const client = await Client.open({ dataDir })
  await client.bundle({}).end()
  assert.equal(node.calls.length, 0)

  const refused = client.bundle({ replicas: 'many' })
  await assert.rejects(refused.put('/a', Buffer.from('a'), {}), { name: 'CliError', code: 'invalid' })
  await assert.rejects(refused.put('/b', Buffer.from('b'), {}), { name: 'CliError', code: 'invalid' })
  await refused.end()

  const tooLarge = client.bundle({})
  await assert.rejects(tooLarge.put('/a', Buffer.alloc(1 << 20), {}), { name: 'CliError', code: 'invalid' })
  await tooLarge.end()

  node.hooks.put = () => new Promise(() => {})
  const stopping = new AbortController()
  const aborted = client.bundle({}, stopping.signal)
  const abortedPut = aborted.put('/a', Buffer.from('a'), {})
  stopping.abort()
  await assert.rejects(abortedPut, { name: 'AbortError' })
  await aborted.end()

  const cut = client.bundle({})
  const cutPut = cut.put('/a', Buffer.from('a'), {})
  const isCut = assert.rejects(cutPut, { name: 'NoAnswerError' })
  await new Promise(resolve => setImmediate(resolve))
  await api.close()
  await isCut
  await cut.end()
  client.close()
})

test('the failure of one file does not touch the other files of its bundle', async t => {
  const { node, dataDir } = await serveFake(t)
  node.hooks.put = async () => {
    throw new Fault('no-space', 'the disk is full')
  }
  const client = await Client.open({ dataDir })
  const bundle = client.bundle({})
  await assert.rejects(bundle.put('/a', Buffer.from('a'), {}), { code: 'no-space', message: 'the disk is full' })
  delete node.hooks.put
  assert.equal((await bundle.put('/b', Buffer.from('b'), {})).path, '/b')
  await bundle.end()
  client.close()
})
