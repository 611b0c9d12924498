import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PAGE_BYTES, WASTE_BYTES_MAX } from '../../../src/disk/constants.ts'
import { DiskError, IndexCorruptError, NoSpaceError } from '../../../src/disk/errors.ts'
import { indexKey } from '../../../src/disk/index-db.ts'
import { decodePlace, type Place } from '../../../src/disk/place.ts'
import { LARGE_ROWS, segmentPath } from '../../../src/disk/segment-layout.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { type BlockCid, nameBlock } from '../../../src/format/cid.ts'
import { type OpenStore, openStore } from '../../fixtures/disk-store.ts'
import { FakeFiles, KEEPS_ALL, type Operation } from '../../fixtures/fake-files.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { gather } from '../../fixtures/streams.ts'

const LENGTH = 70_000
/** The pages of one row. */
const ROW_BYTES = 18 * PAGE_BYTES
const FIRST = LARGE_ROWS.base + 1

interface Block {
  cid: BlockCid
  bytes: Uint8Array
}

const blockOf = (n: number, length = LENGTH): Block => {
  const bytes = seededChance(n).bytes(length)
  return { cid: nameBlock(bytes), bytes }
}

async function put({ blocks }: OpenStore, ...all: Block[]): Promise<void> {
  await Promise.all(all.map(({ cid, bytes }) => blocks.put(cid, bytes)))
}

async function read({ blocks }: OpenStore, { cid }: Block): Promise<Buffer> {
  return Buffer.concat(await gather(blocks.get(cid)))
}

async function isWhole(open: OpenStore, block: Block): Promise<boolean> {
  return (await read(open, block)).equals(block.bytes)
}

async function placeOf({ index }: OpenStore, { cid }: Block): Promise<Place> {
  return decodePlace((await index.get(indexKey(TABLES.blocks, cid.multihash.bytes))) as Uint8Array)
}

test('large blocks that are put together are one append of whole pages and one sync', async () => {
  const operations: Operation[] = []
  const files = new FakeFiles({ before: operation => operations.push(operation) })
  const open = await openStore(files)
  await put(open, blockOf(1))
  operations.length = 0
  await put(open, ...[2, 3, 4].map(n => blockOf(n)))
  const written = operations.map(({ name, path, bytes }) => [name, path, bytes])
  assert.deepEqual(written, [
    ['append', 'blocks/00000001.seg', 3 * ROW_BYTES],
    ['sync', 'blocks/00000001.seg', undefined]
  ])
  assert.deepEqual(await placeOf(open, blockOf(1)), { segment: FIRST, offset: PAGE_BYTES, length: LENGTH + 34 })
})

test('of large blocks whose write was torn, those that are whole count, and no other', async () => {
  const files = new FakeFiles()
  const open = await openStore(files)
  const acknowledged = blockOf(1)
  await put(open, acknowledged)
  const { database } = open
  const torn = [2, 3, 4, 5].map(n => blockOf(n))
  const before = database.batches
  await put(open, ...torn)
  // The second and the last one of the four reached the disk only in part, and no batch of the index did.
  const after = files.crash(KEEPS_ALL)
  after.corrupt(segmentPath(FIRST), bytes => {
    for (const n of [2, 4])
      bytes.fill(0, PAGE_BYTES + n * ROW_BYTES + 9 * PAGE_BYTES, PAGE_BYTES + n * ROW_BYTES + 60_000)
    return bytes
  })
  const again = await openStore(after, { database: database.after(before) })
  assert.deepEqual(again.corruptions, [])
  assert.equal(again.report.damagedStretches, 0)
  const here = await Promise.all([acknowledged, ...torn].map(({ cid }) => again.blocks.has(cid)))
  assert.deepEqual(here, [true, true, false, true, false])
  await put(again, ...torn)
  for (const block of [acknowledged, ...torn]) assert.ok(await isWhole(again, block))
  const last = await openStore(after.crash(), { database: new MemoryDatabase() })
  for (const block of [acknowledged, ...torn]) assert.ok(await isWhole(last, block))
})

test('a flipped byte in a large block harms no other, whenever the store is opened', async () => {
  const files = new FakeFiles()
  const open = await openStore(files)
  const all = [1, 2, 3].map(n => blockOf(n)) as [Block, Block, Block]
  await put(open, ...all)
  files.corrupt(segmentPath(FIRST), bytes => {
    bytes[PAGE_BYTES + ROW_BYTES + 30_000]! ^= 1
    return bytes
  })
  for (const database of [open.database.after(open.database.batches), new MemoryDatabase()]) {
    const again = await openStore(files.copy(), { database })
    const whole = await Promise.all([all[0], all[2]].map(block => isWhole(again, block)))
    assert.deepEqual(whole, [true, true])
  }
  // It is read as it is, and written again by a caller that has its bytes.
  assert.ok(!(await isWhole(open, all[1])))
  await open.blocks.replace(all[1].cid, all[1].bytes)
  assert.ok(await isWhole(open, all[1]))
})

test('a flipped byte in the header of a large block is damage, and the blocks after it are there', async () => {
  const files = new FakeFiles()
  const all = [1, 2, 3].map(n => blockOf(n)) as [Block, Block, Block]
  await put(await openStore(files), ...all)
  files.corrupt(segmentPath(FIRST), bytes => {
    bytes[PAGE_BYTES + 5]! ^= 1
    return bytes
  })
  const again = await openStore(files.crash(KEEPS_ALL))
  assert.equal(again.report.damagedStretches, 1)
  assert.deepEqual(await Promise.all(all.map(({ cid }) => again.blocks.has(cid))), [false, true, true])
})

test('a rebuild and the leaf check read one page of each large block', async () => {
  const all = Array.from({ length: 12 }, (_, n) => blockOf(n))
  const files = new FakeFiles()
  const first = await openStore(files, { largeSegmentBytes: 4 * ROW_BYTES })
  await put(first, ...all)
  await first.store.close()
  const reads: number[] = []
  const after = files.reopen({
    before: ({ name, path, bytes = 0 }) => {
      if (name === 'read' && path.startsWith('blocks/')) reads.push(bytes)
    }
  })
  const again = await openStore(after, { largeSegmentBytes: 4 * ROW_BYTES })
  assert.equal(again.report.rebuilt, true)
  // The blocks of the last segment are read as a whole, since nobody knows whether they were acknowledged.
  assert.ok(reads.filter(bytes => bytes > PAGE_BYTES).length <= 4, `${reads}`)
  reads.length = 0
  while (!again.store.isVerified) await again.store.checkLeaf(5)
  assert.ok(reads.length > 12 && reads.every(bytes => bytes <= PAGE_BYTES), `${reads}`)
  for (const block of all) assert.ok(await isWhole(again, block))
})

test('the leaf check notices that the index has lost a large block', async () => {
  const open = await openStore(new FakeFiles())
  const block = blockOf(1)
  // As many rows before it as one leaf has.
  for (const key of ['a', 'b', 'c', 'd']) await open.facts.set(key, '1')
  await put(open, block)
  await open.index.batch([{ type: 'del', key: indexKey(TABLES.blocks, block.cid.multihash.bytes) }])
  const check = async (): Promise<void> => {
    while (!open.store.isVerified) await open.store.checkLeaf(4)
  }
  await assert.rejects(check(), IndexCorruptError)
})

test('the space of large blocks that were freed comes back, and the others stay', async () => {
  const files = new FakeFiles()
  const options = { largeSegmentBytes: 8 * ROW_BYTES }
  const open = await openStore(files, options)
  const all = Array.from({ length: 24 }, (_, n) => blockOf(n))
  await put(open, ...all)
  const bytes = open.largeSegments.bytes
  const kept = all.filter((_, n) => n % 3 === 0)
  for (const block of all) if (!kept.includes(block)) await open.blocks.delete(block.cid)
  assert.equal(open.store.rowBytes, open.segments.bytes + open.largeSegments.bytes - 16 * ROW_BYTES)
  const old = await placeOf(open, kept[0] as Block)
  for (const segment of open.store.compactable(0.5)) await open.store.compact(segment)
  assert.ok(open.largeSegments.bytes < bytes - 9 * ROW_BYTES)
  // A reader that asked the index before can still read what has moved, until the next round.
  assert.equal((await open.store.readUnchecked(old)).byteLength, LENGTH + 34)
  open.store.forgetCompacted()
  await assert.rejects(open.store.readUnchecked(old), IndexCorruptError)
  for (const block of kept) assert.ok(await isWhole(open, block))
  for (const database of [open.database.after(open.database.batches), new MemoryDatabase()]) {
    const again = await openStore(files.crash(), { ...options, database })
    for (const block of kept) assert.ok(await isWhole(again, block))
  }
})

test('a segment with a large block that cannot be read stays, and the next one is compacted', async () => {
  let isBroken = false
  const files = new FakeFiles({
    before: ({ name, path, bytes = 0 }) => {
      if (isBroken && name === 'read' && path === 'blocks/00000001.seg' && bytes > PAGE_BYTES)
        throw new DiskError('the disk reported EIO')
    }
  })
  const open = await openStore(files, { largeSegmentBytes: 4 * ROW_BYTES })
  const all = Array.from({ length: 12 }, (_, n) => blockOf(n))
  await put(open, ...all)
  for (const block of all.filter((_, n) => n % 4 !== 3)) await open.blocks.delete(block.cid)
  isBroken = true
  await assert.rejects(open.store.compact(FIRST), DiskError)
  assert.equal(open.damage.length, 1)
  for (const segment of open.store.compactable(0.5)) await open.store.compact(segment)
  assert.deepEqual(
    [FIRST, FIRST + 1].map(segment => open.largeSegments.has(segment)),
    [true, false]
  )
  isBroken = false
  assert.ok(await isWhole(open, all[3] as Block))
})

test('a segment of large blocks that is mostly dead is ended, even if the store takes no more blocks', async () => {
  const open = await openStore(new FakeFiles(), { capacityBytes: WASTE_BYTES_MAX + 400_000 })
  const many = Array.from({ length: Math.ceil(WASTE_BYTES_MAX / ROW_BYTES) + 1 }, (_, n) => blockOf(n))
  await put(open, ...many)
  for (const { cid } of many.slice(1)) await open.blocks.delete(cid)
  await open.store.endWasteful(0.5)
  for (const segment of open.store.compactable(0.5)) await open.store.compact(segment)
  assert.equal(open.largeSegments.bytes, PAGE_BYTES + ROW_BYTES)
  assert.ok(await isWhole(open, many[0] as Block))
})

test('a block that does not fit on the disk leaves nothing, and the next one that fits is kept', async () => {
  let isFull = false
  const files = new FakeFiles({
    before: ({ name }) => {
      if (isFull && name === 'append') throw new NoSpaceError('the disk is full')
    }
  })
  let released = 0
  const makeRoom = async (): Promise<boolean> => ++released > 0
  const open = await openStore(files, { makeRoom })
  await put(open, blockOf(1))
  isFull = true
  await assert.rejects(put(open, blockOf(2)), NoSpaceError)
  assert.equal(released, 0, 'the reserve is not for blocks')
  isFull = false
  await put(open, blockOf(3))
  const again = await openStore(files.crash(KEEPS_ALL), { database: new MemoryDatabase() })
  const here = await Promise.all([1, 2, 3].map(n => again.blocks.has(blockOf(n).cid)))
  assert.deepEqual(here, [true, false, true])
})
