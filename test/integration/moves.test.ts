import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { GET_PROTOCOL } from '../../src/blocks/constants.ts'
import { makeDevice, secretsIn } from '../fixtures/device.ts'
import { listing, read, startNode, temporaryFolder, until } from '../fixtures/nodes.ts'
import { Received } from '../fixtures/recorded-host.ts'
import { startRooms } from '../fixtures/stack.ts'

const KIB = 1 << 10
const MIB = 1 << 20

/** The bytes and the names of all segments of large blocks of a member, and the bytes of its other segments. */
async function diskOf(dataDir: string): Promise<{ blocks: string[]; blockBytes: number; segmentBytes: number }> {
  const sizeOf = async (folder: string): Promise<[string[], number]> => {
    const items = await readdir(join(dataDir, folder), { recursive: true, withFileTypes: true })
    const files = items.filter(item => item.isFile()).map(({ parentPath, name }) => join(parentPath, name))
    const sizes = await Promise.all(files.map(async file => (await stat(file)).size))
    return [files.sort(), sizes.reduce((sum, size) => sum + size, 0)]
  }
  const [blocks, blockBytes] = await sizeOf('blocks')
  const [, segmentBytes] = await sizeOf('segments')
  return { blocks, blockBytes, segmentBytes }
}

test('a move and a copy send no content to other members, and store none, however large it is', {
  timeout: 300_000
}, async t => {
  const { node, options } = await startNode(t, { found: true })
  const received = new Received()
  const dataDir = await temporaryFolder(t)
  await makeDevice(dataDir, await secretsIn(options.dataDir), 'storage')
  await startRooms(t, {
    dataDir,
    bootstrap: [node.multiaddrs[0] as string],
    platform: system => received.over(system)
  })
  await until('connected', async () => (await node.status()).peersConnected === 1)
  // It is opened before there is anything to read.
  await until('a stream for reads is open', async () => received.opened.includes(GET_PROTOCOL))
  const large = randomBytes(8 * MIB)
  await node.put('/d/large', large, { ack: 2 })
  for (let i = 0; i < 20; i++) await node.put(`/d/small${i}`, randomBytes(100 * KIB), { ack: 2 })
  await until('nothing is owed', async () => (await node.status()).owed.blocks === 0)
  const bytesReceived = (): number => received.streams.reduce((sum, stream) => sum + stream.byteLength, 0)
  const before = { sent: bytesReceived(), own: await diskOf(options.dataDir), other: await diskOf(dataDir) }

  await node.move('/d', '/deep/in/moved')
  await node.move('/deep/in/moved/large', '/renamed')
  await node.copy('/renamed', '/copy')
  await node.copy('/deep', '/deep2')
  assert.ok((await read(node, '/copy')).equals(large))
  assert.equal((await listing(node, '/deep2')).length, 22)

  const sent = bytesReceived() - before.sent
  assert.ok(sent < 200 * KIB, `${sent} bytes`)
  for (const [folder, then] of [
    [options.dataDir, before.own],
    [dataDir, before.other]
  ] as const) {
    const now = await diskOf(folder)
    assert.ok(then.blocks.length > 0 && then.segmentBytes > 0)
    assert.deepEqual(now.blocks, then.blocks)
    assert.equal(now.blockBytes, then.blockBytes)
    const written = now.segmentBytes - then.segmentBytes
    assert.ok(written < 200 * KIB, `${written} bytes`)
  }
})
