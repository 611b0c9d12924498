import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ClassicLevel } from 'classic-level'
import { ROW_HEADER_BYTES, ROW_MAGIC } from '../../src/disk/row.ts'
import { TABLES } from '../../src/disk/tables.ts'
import { type DfsNode, generateNetworkKey } from '../../src/index.ts'
import { fastClock } from '../fixtures/clock.ts'
import { largeBlocksOn } from '../fixtures/large-blocks.ts'
import { allConnected, codeOfRejection, listing, read, startNode, temporaryFolder, until } from '../fixtures/nodes.ts'

test('a file that is put again over a block whose segment was cut to nothing is whole again', {
  timeout: 60_000
}, async t => {
  const { node, options } = await startNode(t)
  const bytes = randomBytes(300_000)
  await node.put('/f', bytes)
  for (const { path } of await largeBlocksOn(options.dataDir)) await truncate(path, 0)
  await node.put('/f', bytes)
  assert.deepEqual(await read(node, '/f'), bytes)
})

test('a file that is put again over a rotten block that a read has met is whole again, and status says so', {
  timeout: 60_000
}, async t => {
  const { node, options } = await startNode(t)
  const bytes = randomBytes(300_000)
  await node.put('/f', bytes)
  for (const { path, offset } of await largeBlocksOn(options.dataDir)) {
    const content = await readFile(path)
    content[offset + 1_000]! ^= 1
    await writeFile(path, content)
  }
  assert.equal(await codeOfRejection(read(node, '/f')), 'corrupt')
  assert.match((await node.status()).warnings.join(), /\(1, still bad: 1\)/)
  await node.put('/f', bytes)
  assert.deepEqual(await read(node, '/f'), bytes)
  assert.match((await node.status()).warnings.join(), /\(1, still bad: 0\)/)
})

test('a member whose copy was cut short pulls the block again before it says that it keeps it', {
  timeout: 60_000
}, async t => {
  const dataDir = await temporaryFolder(t)
  const first = await startNode(t, { networkKey: generateNetworkKey() })
  const { networkKey } = first.options
  const second = await startNode(t, { networkKey: networkKey!, dataDir, bootstrap: [first.node.multiaddrs[0]!] })
  await allConnected([first.node, second.node])
  const bytes = randomBytes(300_000)
  await first.node.put('/f', bytes, { ack: 2 })
  const [block] = await largeBlocksOn(dataDir)
  await truncate(block!.path, 0)
  const { reached } = await first.node.put('/g', bytes, { ack: 2 })
  assert.equal(reached.length, 2)
  const again = await largeBlocksOn(dataDir)
  assert.ok(again.some(({ multihash }) => multihash === block!.multihash))
  assert.deepEqual(await read(second.node, '/g'), bytes)
})

/** Removes the rows of a table from the index of a node that has stopped, as LevelDB does after a flipped bit. */
async function loseTable(dataDir: string, letter: string, { isUnclean = false } = {}): Promise<number> {
  const level = new ClassicLevel<Uint8Array, Uint8Array>(join(dataDir, 'index'), {
    keyEncoding: 'view',
    valueEncoding: 'view'
  })
  await level.open()
  const next = String.fromCharCode(letter.charCodeAt(0) + 1)
  const keys = await level.keys({ gte: Buffer.from(letter), lt: Buffer.from(next) }).all()
  await level.batch(keys.map(key => ({ type: 'del', key })))
  if (isUnclean) await level.del(Buffer.from('mclean'))
  await level.close()
  return keys.length
}

for (const table of ['statements', 'claims', 'entries', 'children', 'names', 'records', 'seen'] as const) {
  test(`an index that loses its table of ${table} is rebuilt, and no file is lost`, { timeout: 60_000 }, async t => {
    const { node, options, events } = await startNode(t)
    const bytes = randomBytes(100_000)
    await node.put('/d/f', Buffer.from('before'))
    await node.put('/d/f', bytes)
    await node.stop()
    assert.ok((await loseTable(options.dataDir, TABLES[table], { isUnclean: true })) > 0)
    // Hours of its clock pass, so leaf checks and sweeps run.
    const again = await startNode(t, { ...options, clock: fastClock(2_000) })
    await until('rebuilt', async () => events.some(({ event }) => event === 'rebuilt'))
    await until('all is there again', async () => (await read(again.node, '/d/f')).equals(bytes))
    assert.equal(events.filter(({ event }) => event === 'rebuilt').length, 1, 'once')
    await again.node.stop()
  })
}

/** Flips one bit in the row of a statement, on the disk of a node that has stopped. */
async function rotStatement(dataDir: string, id: string): Promise<void> {
  const folder = join(dataDir, 'segments')
  for (const name of await readdir(folder)) {
    const bytes = await readFile(join(folder, name))
    for (let at = bytes.indexOf(ROW_MAGIC); at >= 0; at = bytes.indexOf(ROW_MAGIC, at + 1)) {
      const payload = bytes.subarray(at + ROW_HEADER_BYTES, at + ROW_HEADER_BYTES + bytes.readUInt32BE(at + 4))
      if (decodeStatementIdOf(payload) !== id) continue
      payload[100]! ^= 1
      return writeFile(join(folder, name), bytes)
    }
  }
  assert.fail('no such statement')
}

function decodeStatementIdOf(payload: Buffer): string | undefined {
  return payload.byteLength > 49 ? createHash('sha256').update(payload.subarray(49)).digest('hex') : undefined
}

async function warnings(node: DfsNode): Promise<string> {
  return (await node.status()).warnings.join('\n')
}

test('one damaged statement does not affect the others, and its path can be put and removed', {
  timeout: 60_000
}, async t => {
  const { node, options } = await startNode(t)
  const versions = new Map<string, string>()
  for (let i = 0; i < 5; i++) versions.set(`/f${i}`, (await node.put(`/f${i}`, Buffer.from(`content ${i}`))).version)
  await node.stop()
  for (const path of ['/f1', '/f2', '/f3']) await rotStatement(options.dataDir, versions.get(path)!)
  const again = await startNode(t, options)
  // Their names are in the index too.
  const paths = (await listing(again.node)).map(line => line.split(' ')[0]!)
  assert.deepEqual(paths, ['/f0', '/f1', '/f2', '/f3', '/f4'])
  assert.equal(await codeOfRejection(read(again.node, '/f1')), 'damaged')
  assert.equal(`${await read(again.node, '/f4')}`, 'content 4')
  assert.match(await warnings(again.node), /statements on this disk are damaged \(3\)/)
  await again.node.put('/f1', Buffer.from('anew'))
  assert.equal(`${await read(again.node, '/f1')}`, 'anew')
  for (const path of ['/f2', '/f3']) await again.node.remove(path)
  assert.deepEqual(await listing(again.node), ['/f0 9', '/f1 4', '/f4 9'])
  await again.node.stop()
})

test('a damaged statement is received again from another member, and then everything is as it was', {
  timeout: 60_000
}, async t => {
  const networkKey = generateNetworkKey()
  const { node: other } = await startNode(t, { networkKey })
  const dataDir = await temporaryFolder(t)
  const bootstrap = [other.multiaddrs[0]!]
  const first = await startNode(t, { networkKey, dataDir, bootstrap })
  await allConnected([other, first.node])
  const { version } = await other.put('/f', Buffer.from('content'), { ack: 2 })
  await first.node.stop()
  await rotStatement(dataDir, version)
  const again = await startNode(t, { networkKey, dataDir, bootstrap })
  await until('the statement is here again', async () => (await listing(again.node)).includes('/f 7'))
  // It shows as soon as it is accepted, which may be a moment before it is durable.
  await until('nothing is damaged', async () => !/statements on this disk/.test(await warnings(again.node)))
  assert.equal(`${await read(again.node, '/f')}`, 'content')
  await again.node.stop()
})

test('a newcomer that knows only a member with a damaged statement gets everything else', {
  timeout: 60_000
}, async t => {
  const { node, options } = await startNode(t, { networkKey: generateNetworkKey() })
  const { version } = await node.put('/f0', Buffer.from('content'))
  for (let i = 1; i < 5; i++) await node.put(`/f${i}`, Buffer.from('content'))
  await node.stop()
  await rotStatement(options.dataDir, version)
  const again = await startNode(t, options)
  const bootstrap = [again.node.multiaddrs[0]!]
  const newcomer = await startNode(t, { networkKey: options.networkKey!, bootstrap })
  await until('all others', async () => (await newcomer.node.status()).files === 4)
  await Promise.all([newcomer.node.stop(), again.node.stop()])
})
