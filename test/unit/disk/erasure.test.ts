import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  COMPACT_BELOW,
  ERASE_INTERVAL_MS,
  ERASE_PAUSE_MS,
  ERASE_REST,
  PAGE_BYTES
} from '../../../src/disk/constants.ts'
import { eraser } from '../../../src/disk/eraser.ts'
import { DiskError } from '../../../src/disk/errors.ts'
import type { FilePiece } from '../../../src/disk/files.ts'
import { indexKey } from '../../../src/disk/index-db.ts'
import { decodePlace, encodePlace, type Place } from '../../../src/disk/place.ts'
import { LARGE_ROWS, segmentPath } from '../../../src/disk/segment-layout.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { type BlockCid, nameBlock } from '../../../src/format/cid.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { type OpenStore, openStore } from '../../fixtures/disk-store.ts'
import {
  CrashError,
  FakeFiles,
  type FakeFilesOptions,
  KEEPS_ALL,
  LOSES_ALL,
  type Operation
} from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { gather } from '../../fixtures/streams.ts'

const LENGTH = 70_000
const ROW_BYTES = 18 * PAGE_BYTES
const FIRST = LARGE_ROWS.base + 1
const PATH = segmentPath(FIRST)

interface Block {
  cid: BlockCid
  bytes: Uint8Array
}

const blockOf = (n: number): Block => {
  const bytes = seededChance(n).bytes(LENGTH)
  return { cid: nameBlock(bytes), bytes }
}
const ALL = [1, 2, 3, 4].map(blockOf) as [Block, Block, Block, Block]
const [KEPT, FREED, ...OTHERS] = ALL

async function put({ blocks }: OpenStore, ...all: Block[]): Promise<void> {
  await Promise.all(all.map(({ cid, bytes }) => blocks.put(cid, bytes)))
}

async function isWhole({ blocks }: OpenStore, { cid, bytes }: Block): Promise<boolean> {
  return Buffer.concat(await gather(blocks.get(cid))).equals(bytes)
}

async function eraseAll({ store }: OpenStore): Promise<void> {
  while ((await store.eraseNext()) > 0);
}

async function placeOf({ index }: OpenStore, { cid }: Block): Promise<Place> {
  return decodePlace((await index.get(indexKey(TABLES.blocks, cid.multihash.bytes))) as Uint8Array)
}

/** Returns true if any file has 16 bytes of the block in a row. Pieces are compared where pages and blocks begin and end. */
async function isOnDisk(files: FakeFiles, block: Block): Promise<boolean> {
  const bytes = Buffer.from(block.bytes)
  const found = await Promise.all(
    (await files.list('blocks')).map(async name => {
      const file = Buffer.from(await files.read(`blocks/${name}`))
      for (let at = 0; at < bytes.byteLength; at += 512) if (file.includes(bytes.subarray(at, at + 16))) return true
      return file.includes(bytes.subarray(-16))
    })
  )
  return found.includes(true)
}

test('the bytes of a large block that was freed are overwritten, and a rebuild of the index does not bring it back', async () => {
  const files = new FakeFiles()
  const open = await openStore(files)
  await put(open, ...ALL)
  await open.blocks.delete(FREED.cid)
  assert.ok(await isOnDisk(files, FREED))
  await eraseAll(open)
  assert.ok(!(await isOnDisk(files, FREED)))
  for (const block of [KEPT, ...OTHERS]) assert.ok(await isWhole(open, block))
  const { rowBytes } = open.store
  const again = await openStore(files.crash(), { database: new MemoryDatabase() })
  assert.deepEqual([again.report.rebuilt, again.report.damagedStretches, again.damage], [true, 0, []])
  assert.equal(await again.blocks.has(FREED.cid), false)
  for (const block of [KEPT, ...OTHERS]) assert.ok(await isWhole(again, block))
  assert.equal(again.store.rowBytes, rowBytes)
  assert.equal(await again.store.eraseNext(), 0, 'what is erased is not erased once more')
  while (!again.store.isVerified) await again.store.checkLeaf()
})

test('a put that follows writes the block again, and the erasure leaves it alone', async () => {
  const files = new FakeFiles()
  const open = await openStore(files)
  await put(open, ...ALL)
  await open.blocks.delete(FREED.cid)
  await put(open, FREED)
  // A start that reads rows again may also queue the row that counts.
  const key = indexKey(TABLES.unerased, encodePlace(await placeOf(open, FREED)))
  await open.index.batch([{ type: 'put', key, value: new Uint8Array(0) }])
  await eraseAll(open)
  for (const block of ALL) assert.ok(await isWhole(open, block))
  assert.equal(await open.index.hasAny(indexKey(TABLES.unerased)), false)
  const bytes = Buffer.from(await files.read(PATH))
  assert.ok(
    bytes.indexOf(FREED.bytes.subarray(5_000, 5_016)) > PAGE_BYTES + 4 * ROW_BYTES,
    'only the second copy is left'
  )
})

test('the damaged copy of a block that was written again is erased too', async () => {
  const files = new FakeFiles()
  const open = await openStore(files)
  await put(open, ...ALL)
  await open.blocks.replace(FREED.cid, FREED.bytes)
  await open.blocks.delete(FREED.cid)
  await eraseAll(open)
  assert.ok(!(await isOnDisk(files, FREED)))
})

/** A disk on which one overwrite reaches the file only in part before the power is cut. */
class TornFiles extends FakeFiles {
  readonly tornAt: number
  #overwrites = 0

  constructor(tornAt: number, options: FakeFilesOptions = {}) {
    super(options)
    this.tornAt = tornAt
  }

  override async overwrite(path: string, pieces: readonly FilePiece[]): Promise<void> {
    if (++this.#overwrites !== this.tornAt) return super.overwrite(path, pieces)
    // Of the pieces every second page is there.
    const torn = pieces.flatMap(({ offset, bytes }) =>
      bytes.byteLength < PAGE_BYTES
        ? []
        : [{ offset: offset + PAGE_BYTES, bytes: bytes.subarray(PAGE_BYTES, 2 * PAGE_BYTES) }]
    )
    await super.overwrite(path, torn)
    throw new CrashError('in the middle of an overwrite')
  }
}

/** Frees two blocks and erases them until the disk fails. Returns true if it never did. */
async function freeAndErase(files: FakeFiles, database: MemoryDatabase): Promise<boolean> {
  try {
    const open = await openStore(files, { database })
    await put(open, ...ALL)
    await open.blocks.delete(FREED.cid)
    await open.store.eraseNext()
    await put(open, FREED)
    await open.blocks.delete(FREED.cid)
    await eraseAll(open)
    return true
  } catch (error) {
    if (error instanceof CrashError) return false
    throw error
  }
}

async function assertErasedInTheEnd(after: FakeFiles, database: MemoryDatabase): Promise<void> {
  const again = await openStore(after, { database })
  assert.deepEqual([again.report.damagedStretches, again.damage, again.corruptions], [0, [], []])
  for (const block of ALL) if (await again.blocks.has(block.cid)) assert.ok(await isWhole(again, block))
  // A block that is back has no claim, so it is freed again.
  await again.blocks.delete(FREED.cid)
  await eraseAll(again)
  assert.ok(!(await isOnDisk(after, FREED)))
  const rebuilt = await openStore(after.crash(), { database: new MemoryDatabase() })
  assert.equal(await rebuilt.blocks.has(FREED.cid), false)
}

for (const [name, database] of Object.entries({
  'the index is there': (db: MemoryDatabase) => db.after(db.batches),
  'the index is behind': (db: MemoryDatabase, n: number) => db.after(db.batches - (n % 6)),
  'the index is gone': () => new MemoryDatabase()
}))
  test(`a block is whole or not there after a power cut at any moment of its erasure, which ends after the next start: ${name}`, async () => {
    for (let n = 0, isDone = false; !isDone; n++) {
      const files = new FakeFiles({
        before: operation => {
          if (operation.n >= n) throw new CrashError('the power was cut')
        }
      })
      const before = new MemoryDatabase()
      isDone = await freeAndErase(files, before)
      await assertErasedInTheEnd(files.crash(n % 2 === 0 ? LOSES_ALL : KEEPS_ALL), database(before, n))
    }
    for (let n = 1, isDone = false; !isDone; n++) {
      const files = new TornFiles(n)
      const before = new MemoryDatabase()
      isDone = await freeAndErase(files, before)
      await assertErasedInTheEnd(files.crash(), database(before, n))
    }
  })

test('no block that was erased is back, whatever a power cut leaves of the index', async () => {
  const files = new FakeFiles()
  const open = await openStore(files)
  await put(open, ...ALL)
  // The index knows the blocks, and up to where it has come, in batches of their own.
  await settle(5)
  await open.blocks.delete(FREED.cid)
  await eraseAll(open)
  const after = files.crash()
  for (let batches = 0; batches <= open.database.batches; batches++) {
    const again = await openStore(after.copy(), { database: open.database.after(batches) })
    assert.equal(await again.blocks.has(FREED.cid), false, `${batches} batches`)
    assert.deepEqual(again.corruptions, [])
    for (const block of [KEPT, ...OTHERS]) assert.ok(await isWhole(again, block))
  }
})

test('the bytes of a block are not overwritten while it is being read', async () => {
  const operations: Operation[] = []
  const files = new FakeFiles({ before: operation => operations.push(operation) })
  const open = await openStore(files)
  await put(open, ...ALL)
  const { promise, resolve } = Promise.withResolvers<void>()
  const reading = open.store.reads.run(async () => {
    const place = await placeOf(open, FREED)
    await promise
    return open.store.readUnchecked(place, 34)
  })
  await settle(1)
  await open.blocks.delete(FREED.cid)
  const erasing = open.store.eraseNext()
  await settle(20)
  assert.ok(operations.every(({ name }) => name !== 'overwrite'))
  resolve()
  assert.ok(Buffer.from(await reading).equals(FREED.bytes))
  assert.ok((await erasing) > 0)
  assert.ok(!(await isOnDisk(files, FREED)))
})

test('a segment that is about to be compacted is not erased, unless its compaction has failed', async () => {
  let isFull = false
  const files = new FakeFiles({
    before: ({ name }) => {
      if (isFull && name === 'append') throw new DiskError('the disk reported EIO')
    }
  })
  const open = await openStore(files, { largeSegmentBytes: 4 * ROW_BYTES })
  await put(open, ...ALL, ...[5, 6, 7, 8].map(blockOf))
  for (const block of [FREED, ...OTHERS]) await open.blocks.delete(block.cid)
  assert.equal(await open.store.eraseNext(), 0)
  assert.deepEqual(open.store.compactable(COMPACT_BELOW), [FIRST])
  isFull = true
  await assert.rejects(open.store.compact(FIRST), DiskError)
  await eraseAll(open)
  assert.ok(!(await isOnDisk(files, FREED)))
  isFull = false
  await open.store.compact(FIRST)
  assert.ok(await isWhole(open, KEPT))
})

test('a segment that the disk refuses to overwrite does not hold up the others', async () => {
  let refused = 'blocks/00000001.seg'
  const files = new FakeFiles({
    before: ({ name, path }) => {
      if (name === 'overwrite' && path === refused) throw new DiskError('the disk reported EIO')
    }
  })
  const open = await openStore(files, { largeSegmentBytes: 4 * ROW_BYTES })
  const all = [...ALL, ...[5, 6, 7, 8, 9].map(blockOf)]
  await put(open, ...all)
  for (const n of [1, 5]) await open.blocks.delete((all[n] as Block).cid)
  await assert.rejects(open.store.eraseNext(), DiskError)
  await eraseAll(open)
  const isHere = (): Promise<boolean[]> => Promise.all([1, 5].map(n => isOnDisk(files, all[n] as Block)))
  assert.deepEqual(await isHere(), [true, false])
  refused = ''
  await eraseAll(open)
  assert.deepEqual(await isHere(), [false, false])
})

test('the eraser goes on soon after it has erased something, and looks again later if there was nothing', async () => {
  const clock = new ManualClock()
  const sizes = [1, 1, 0]
  let rounds = 0
  const eraseNext = async (): Promise<number> => {
    rounds++
    clock.advance(ERASE_PAUSE_MS)
    return sizes.shift() ?? 0
  }
  const onError = (error: unknown): void => assert.ifError(error)
  const worker = eraser({ store: { eraseNext }, clock, logger: silentLogger, onError })
  worker.start()
  const roundsAfter = async (ms: number): Promise<number> => {
    clock.advance(ms)
    await settle(3)
    return rounds
  }
  assert.deepEqual([await roundsAfter(ERASE_INTERVAL_MS - 1), await roundsAfter(1)], [0, 1])
  const pauseMs = ERASE_REST * ERASE_PAUSE_MS
  assert.deepEqual([await roundsAfter(pauseMs - 1), await roundsAfter(1), await roundsAfter(pauseMs)], [1, 2, 3])
  assert.deepEqual([await roundsAfter(ERASE_INTERVAL_MS - 1), await roundsAfter(1)], [3, 4])
  await worker.stop()
})
