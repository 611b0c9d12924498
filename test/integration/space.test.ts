import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { truncate } from 'node:fs/promises'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import { type DfsNode, generateNetworkKey } from '../../src/index.ts'
import { toHex } from '../../src/util/bytes.ts'
import { type LargeBlock, largeBlocksOn } from '../fixtures/large-blocks.ts'
import { startNode, until } from '../fixtures/nodes.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** The mebibytes that a node holds. Its statements and its index are far smaller. */
async function mebibytesOn(node: DfsNode): Promise<number> {
  return Math.round((await node.status()).disk.used / MIB)
}

test('a purged file leaves no block on any member, and a copy of it keeps its own', async t => {
  const networkKey = generateNetworkKey()
  const { node: a } = await startNode(t, { networkKey, name: 'attic' })
  const { node: b } = await startNode(t, { networkKey, name: 'cellar', bootstrap: [a.multiaddrs[0] as string] })
  await until('each counts on the other', async () => (await a.put('/first', randomBytes(1))).wanted === 2)
  const bytes = randomBytes(3 * MIB)
  await a.put('/f', bytes)
  await a.copy('/f', '/g')
  await until('both have all chunks', async () => (await Promise.all([a, b].map(mebibytesOn))).every(n => n === 3))
  await a.remove('/f', { purge: true })
  assert.equal((await a.stat('/g')).size, 3 * MIB)
  await a.remove('/g', { purge: true })
  await until('no chunk is left', async () => (await Promise.all([a, b].map(mebibytesOn))).every(n => n === 0))
})

test('gc, fsck, df and du say what there is, and agree with each other', async t => {
  const { node } = await startNode(t, { name: 'attic' })
  await node.put('/d/a', randomBytes(2 * MIB))
  await node.put('/d/b', randomBytes(MIB))
  await node.put('/d/b', randomBytes(MIB))
  await node.put('/d/small', randomBytes(100))
  const usage = await node.du('/d')
  assert.deepEqual([usage.path, usage.files, usage.size, usage.versions], ['/d', 3, 3 * MIB + 100, MIB])
  assert.ok(usage.here > 3 * MIB && usage.here < 3.2 * MIB, `${usage.here}`)
  assert.equal((await node.du('/d/small')).here, 0)
  const before = await node.df()
  assert.deepEqual(
    before.members.map(({ name, self, state }) => [name, self, state]),
    [['attic', true, 'in']]
  )
  assert.equal(before.here.live, usage.here)
  assert.ok(before.here.versions > MIB && before.here.versions < 1.1 * MIB, `${before.here.versions}`)
  assert.ok(before.here.free > 0 && before.here.catalog > 0)
  const checked = await node.fsck({ readData: true })
  assert.equal(checked.checked, 5, 'four chunks and a manifest node')
  assert.deepEqual([checked.corrupt, checked.repaired, checked.lost, checked.certain], [0, 0, [], true])
  await node.remove('/d/b', { purge: true })
  await until('both versions have gone', async () => (await mebibytesOn(node)) === 2)
  assert.equal((await node.df()).here.versions, 0)
  assert.deepEqual(await node.gc({ dryRun: true }), {
    ...{ blocks: 0, bytes: 0, dryRun: true, stays: [], certain: true, unreadable: 0 },
    plan: { released: none, endedPuts: none, surplus: none }
  })
  assert.deepEqual(await node.gc(), { ...none, dryRun: false, plan: null, stays: [], certain: true, unreadable: 0 })
})

const none = { blocks: 0, bytes: 0 }

test('fsck names the file of a block that is damaged and that nobody else has', async t => {
  const { node, options } = await startNode(t)
  await node.put('/folder/file', randomBytes(3 * MIB))
  const block = (await largeBlocksOn(options.dataDir as string)).at(-1) as LargeBlock
  await truncate(block.path, block.offset + 1_000)
  const { corrupt, lost, lostCount } = await node.fsck({ readData: true })
  assert.deepEqual([corrupt, lostCount], [1, 1])
  assert.equal(lost[0]?.path, '/folder/file')
  assert.equal(codeOfCid(lost[0]?.cid as string), block.multihash)
})

async function* cutOff(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content
  throw new Error('cut off')
}

test('df says what an upload that was cut off keeps, and until when, and gc frees it', async t => {
  const { node } = await startNode(t)
  const content = randomBytes(6 * MIB)
  await assert.rejects(node.put('/f', cutOff(content)), /cut off/)
  const { cutOff: bytes, puts, cutOffUntil } = (await node.df()).here
  assert.ok(bytes >= 4 * MIB && puts === 0, `${bytes} ${puts}`)
  assert.ok(cutOffUntil !== null && cutOffUntil.getTime() > Date.now(), String(cutOffUntil))
  assert.equal((await node.gc({ dryRun: true })).bytes, bytes)
  const { bytes: freed, stays } = await node.gc()
  assert.deepEqual([freed, stays], [bytes, []])
  await until('nothing is left', async () => (await mebibytesOn(node)) === 0)
})

test('gc frees a purged file of which an upload was cut off before', async t => {
  const { node } = await startNode(t)
  const content = randomBytes(6 * MIB)
  await assert.rejects(node.put('/f', cutOff(content)), /cut off/)
  await node.put('/f', content)
  await node.gc()
  assert.equal((await node.stat('/f')).size, content.byteLength)
  assert.equal((await node.fsck({ readData: true })).lostCount, 0)
  await assert.rejects(node.put('/g', cutOff(content)), /cut off/)
  await node.remove('/f', { purge: true })
  await node.gc()
  await until('all blocks are gone', async () => (await mebibytesOn(node)) === 0)
  assert.deepEqual((await node.gc({ dryRun: true })).plan, { released: none, endedPuts: none, surplus: none })
})

/** Cuts the segments of large blocks in a data directory, as a failing disk does. Returns the number of these blocks. */
async function cutBlocks(dataDir: string): Promise<number> {
  const blocks = await largeBlocksOn(dataDir)
  for (const { path } of blocks) await truncate(path, 100)
  return blocks.length
}

test('fsck notices every block of a segment that was cut without reading the others, and names all files that need it', async t => {
  const { node, options } = await startNode(t)
  const content = randomBytes(3 * MIB)
  await node.put('/lone', content)
  await node.put('/lone2', content)
  await node.copy('/lone', '/copies/third')
  const cut = await cutBlocks(options.dataDir as string)
  const { corrupt, lost, lostCount } = await node.fsck()
  assert.deepEqual([corrupt, lostCount], [cut, cut])
  for (const cid of new Set(lost.map(item => item.cid)))
    assert.deepEqual(
      lost.filter(item => item.cid === cid).map(({ path, more }) => [path, more]),
      [
        ['/copies/third', 0],
        ['/lone', 0],
        ['/lone2', 0]
      ]
    )
  assert.deepEqual((await node.status()).owed.waitingFor, [], 'nobody waits for itself')
  for await (const { waitingFor } of node.copies('/lone')) assert.deepEqual(waitingFor, [])
  const { here } = await node.df()
  const { cutOffUntil, ...sizes } = here
  assert.equal(cutOffUntil, null)
  for (const bytes of Object.values(sizes)) assert.ok(Number.isInteger(bytes), JSON.stringify(here))
})

test('fsck repairs blocks that were cut from another member, and counts them as damaged', async t => {
  const networkKey = generateNetworkKey()
  const { node, options } = await startNode(t, { networkKey })
  const { multiaddrs } = node
  const { node: keeper } = await startNode(t, { networkKey, bootstrap: [multiaddrs[0] as string] })
  await until('connected', async () => keeper.status().then(({ peersConnected }) => peersConnected === 1))
  await node.put('/f', randomBytes(8 * MIB), { ack: 2 })
  await until('all is there', async () => (await node.status()).owed.blocks === 0)
  const cut = await cutBlocks(options.dataDir as string)
  const { corrupt, lostCount } = await node.fsck()
  assert.deepEqual([corrupt, lostCount], [cut, 0])
  assert.equal((await node.fsck({ readData: true })).corrupt, 0)
})

const codeOfCid = (cid: string): string => toHex(CID.parse(cid).multihash.bytes)
