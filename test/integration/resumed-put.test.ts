import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { makeDevice, secretsIn } from '../fixtures/device.ts'
import { read, startNode, temporaryFolder, until } from '../fixtures/nodes.ts'
import { Received } from '../fixtures/recorded-host.ts'
import { startRooms } from '../fixtures/stack.ts'

const MIB = 1 << 20
const CHUNKS = 24

test('a put that was cut off and is repeated, also after a restart, sends only what the keeper does not have', {
  timeout: 300_000
}, async t => {
  const writer = await startNode(t, { found: true })
  const received = new Received()
  const dataDir = await temporaryFolder(t)
  await makeDevice(dataDir, await secretsIn(writer.options.dataDir), 'storage')
  const bootstrap = [writer.node.multiaddrs[0] as string]
  await startRooms(t, { dataDir, bootstrap, platform: system => received.over(system) })
  let { node } = writer
  const connected = (): Promise<void> => until('connected', async () => (await node.status()).peersConnected === 1)
  await connected()
  const content = randomBytes(CHUNKS * MIB)
  async function* upTo(chunks: number): AsyncGenerator<Uint8Array> {
    yield content.subarray(0, chunks * MIB)
    if (chunks < CHUNKS) throw new Error('cut off')
  }
  const megabytes = (): number => received.streams.reduce((sum, stream) => sum + stream.byteLength, 0) / MIB
  await assert.rejects(node.put('/f', upTo(10), { ack: 2 }), /cut off/)
  const first = megabytes()
  await assert.rejects(node.put('/f', upTo(16), { ack: 2 }), /cut off/)
  const second = megabytes()
  assert.ok(second - first < 8, `${second - first} MiB for 6 that were new`)

  const listen = [String(writer.node.multiaddrs[0]).replace(/\/p2p\/.*/, '')]
  await node.stop()
  node = (await startNode(t, { ...writer.options, listen })).node
  await connected()
  const { reached, unchanged } = await node.put('/f', upTo(CHUNKS), { ack: 2 })
  assert.deepEqual([reached.length, unchanged], [2, false])
  assert.ok(megabytes() < CHUNKS * 1.1, `${megabytes()} MiB in all`)
  assert.ok((await read(node, '/f')).equals(content))
  assert.equal((await node.put('/f', upTo(CHUNKS), { ack: 2 })).unchanged, true)
  assert.ok(megabytes() < CHUNKS * 1.1, `${megabytes()} MiB in all`)
})
