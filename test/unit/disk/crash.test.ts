import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskError, NoSpaceError, ReadOnlyError } from '../../../src/disk/errors.ts'
import { type BlockCid, nameBlock } from '../../../src/format/cid.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { type OpenStore, openStore } from '../../fixtures/disk-store.ts'
import { CrashError, FakeFiles, KEEPS_ALL, LOSES_ALL, type Luck } from '../../fixtures/fake-files.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { gather } from '../../fixtures/streams.ts'

/**
 * The power is cut before every single operation of a script in turn. The disk may then have kept any of the
 * unsynced bytes and names, and the index may be behind. The store must open and hold everything that it acknowledged.
 */

/** Small enough that the script fills several segments of each kind. */
const SEGMENT_BYTES = 1500
const LARGE_SEGMENT_BYTES = 100_000

const blockOf = (n: number, length: number): { cid: BlockCid; bytes: Uint8Array } => {
  const bytes = seededChance(n).bytes(length)
  return { cid: nameBlock(bytes), bytes }
}

/** The changes that were acknowledged, and the later ones that may have happened. */
class Promises {
  readonly #facts = new Map<string, { sure: string | undefined; maybe: Set<string> }>()
  readonly #blocks = new Map<string, { cid: BlockCid; bytes: Uint8Array; state: 'here' | 'unsure' | 'gone' }>()

  async set(open: OpenStore, key: string, value: string): Promise<void> {
    const fact = this.#facts.get(key) ?? { sure: undefined, maybe: new Set() }
    this.#facts.set(key, fact)
    fact.maybe.add(value)
    await open.facts.set(key, value)
    fact.sure = value
    fact.maybe.clear()
  }

  async put(open: OpenStore, n: number, length: number): Promise<void> {
    const block = blockOf(n, length)
    const key = toHex(block.cid.multihash.bytes)
    if (this.#blocks.get(key)?.state !== 'here') this.#blocks.set(key, { ...block, state: 'unsure' })
    await open.blocks.put(block.cid, block.bytes)
    this.#blocks.set(key, { ...block, state: 'here' })
  }

  async delete(open: OpenStore, n: number, length: number): Promise<void> {
    const block = blockOf(n, length)
    const key = toHex(block.cid.multihash.bytes)
    this.#blocks.set(key, { ...block, state: 'unsure' })
    await open.blocks.delete(block.cid)
    this.#blocks.set(key, { ...block, state: 'gone' })
  }

  /** Puts a block again that may be there already, to get an acknowledgement. */
  async say(open: OpenStore, multihash: Uint8Array): Promise<void> {
    const block = this.#blocks.get(toHex(multihash))
    if (block === undefined) return
    await open.blocks.put(block.cid, block.bytes)
    block.state = 'here'
  }

  async check(open: OpenStore): Promise<void> {
    for (const [key, { sure, maybe }] of this.#facts) {
      const value = await open.facts.get(key)
      assert.ok(value === sure || (value !== undefined && maybe.has(value)), `${key} is ${value}, not ${sure}`)
    }
    for (const { cid, bytes, state } of this.#blocks.values()) {
      const isHere = await open.blocks.has(cid)
      if (state === 'here') assert.ok(isHere, 'an acknowledged block is there')
      if (isHere) assert.ok(Buffer.concat(await gather(open.blocks.get(cid))).equals(bytes), 'and has its bytes')
    }
    const listed = await gather(open.blocks.all())
    assert.equal(new Set(listed.map(({ multihash }) => toHex(multihash))).size, listed.length)
    assert.equal(
      open.capacity.usedBytes,
      listed.reduce((sum, { bytes }) => sum + bytes, 0)
    )
    let rows = Number.POSITIVE_INFINITY
    while (rows > 0) rows = Math.min(rows - 1, await open.store.checkLeaf())
  }
}

type Step = (open: OpenStore, promises: Promises) => Promise<unknown>

const LARGE = 70_000

const SCRIPT: Step[] = [
  (open, promises) => promises.set(open, 'a', '1'),
  (open, promises) => promises.put(open, 1, 500),
  (open, promises) => promises.put(open, 2, LARGE),
  (open, promises) =>
    Promise.all([promises.set(open, 'b', '1'), promises.put(open, 3, 900), promises.put(open, 4, LARGE + 1)]),
  (open, promises) => promises.delete(open, 1, 500),
  (open, promises) => Promise.all([5, 6, 7, 8].map(n => promises.put(open, n, 700))),
  (open, promises) => promises.delete(open, 2, LARGE),
  (open, promises) => Promise.all([10, 11, 12].map(n => promises.put(open, n, LARGE))),
  (open, promises) => promises.delete(open, 10, LARGE),
  (open, promises) => promises.set(open, 'a', '2'),
  (open, promises) => promises.put(open, 1, 500),
  (open, promises) => Promise.all([3, 5, 6].map(n => promises.delete(open, n, n === 3 ? 900 : 700))),
  ({ store }) => compactAll(store),
  (open, promises) =>
    Promise.all([promises.set(open, 'c', '1'), promises.put(open, 9, 1500), promises.put(open, 2, LARGE)]),
  (open, promises) => promises.delete(open, 9, 1500),
  ({ store }) => compactAll(store),
  (open, promises) => promises.set(open, 'b', '2')
]

async function compactAll(store: OpenStore['store']): Promise<void> {
  for (const segment of store.compactable(0.9)) await store.compact(segment)
}

/** Runs the script until the power is cut. Returns true if it ended before that. */
async function play(open: OpenStore, promises: Promises): Promise<boolean> {
  try {
    for (const step of SCRIPT) await step(open, promises)
    return true
  } catch (error) {
    // A caller may get any error when the power is cut, but not a success.
    if (error instanceof CrashError || (error as Error).name === 'StoppedError') return false
    throw error
  }
}

interface Way {
  name: string
  luck: (n: number) => Luck
  /** The part of the index that had reached the disk. */
  indexed: (database: MemoryDatabase, n: number) => MemoryDatabase
}

const WAYS: Way[] = [
  {
    name: 'nothing unsynced is kept, the index is up to date',
    luck: () => LOSES_ALL,
    indexed: db => db.after(db.batches)
  },
  { name: 'nothing unsynced is kept, the index is gone', luck: () => LOSES_ALL, indexed: () => new MemoryDatabase() },
  {
    name: 'all is kept, the index is behind',
    luck: () => KEEPS_ALL,
    indexed: (db, n) => db.after(n % (db.batches + 1))
  },
  ...[1, 2].map(seed => ({
    name: `some of the index is gone, though later parts are there (seed ${seed})`,
    luck: () => LOSES_ALL,
    indexed: (db: MemoryDatabase, n: number) =>
      db.after(db.batches, Math.floor(seededChance(seed * 30_000 + n).fraction() * (db.batches + 1)))
  })),
  ...[1, 2, 3].map(seed => ({
    name: `some is kept, some of the index is there (seed ${seed})`,
    luck: (n: number): Luck => ({ kept: 0.5, fraction: seededChance(seed * 10_000 + n).fraction }),
    indexed: (db: MemoryDatabase, n: number) =>
      db.after(Math.floor(seededChance(seed * 20_000 + n).fraction() * (db.batches + 1)))
  }))
]

const options = { segmentBytes: SEGMENT_BYTES, largeSegmentBytes: LARGE_SEGMENT_BYTES }

/** Runs `work` with the number of every operation of the script. */
async function atEveryOperation(work: (n: number) => Promise<boolean>): Promise<void> {
  let n = 0
  for (let isDone = false; !isDone; n++) {
    try {
      isDone = await work(n)
    } catch (error) {
      ;(error as Error).message = `operation ${n}: ${(error as Error).message}`
      throw error
    }
  }
  assert.ok(n > 100, `${n} operations`)
}

/** Opens a store and runs the script until the disk fails. Returns true if it never did. */
async function playUntil(files: FakeFiles, database: MemoryDatabase, promises: Promises): Promise<boolean> {
  try {
    return await play(await openStore(files, { ...options, database }), promises)
  } catch (error) {
    if (error instanceof CrashError) return false
    throw error
  }
}

const until = (n: number): FakeFiles =>
  new FakeFiles({
    before: operation => {
      if (operation.n >= n) throw new CrashError(`before ${operation.name} of ${operation.path}`)
    }
  })

test('the script uses every operation of a store', async () => {
  const files = new FakeFiles()
  const open = await openStore(files, options)
  assert.ok(await play(open, new Promises()))
  for (const folder of ['segments', 'blocks']) {
    const segments = (await files.list(folder)).map(name => Number.parseInt(name, 10))
    const isRemoved = Math.max(...segments) > segments.length
    assert.ok(segments.length > 1 && isRemoved, `${folder}: some of the segments up to ${segments} were removed`)
  }
})

for (const { name, luck, indexed } of WAYS) {
  test(`the store survives a power cut before every operation: ${name}`, () =>
    atEveryOperation(async n => {
      const promises = new Promises()
      const files = until(n)
      const database = new MemoryDatabase()
      const isDone = await playUntil(files, database, promises)
      const after = files.crash(luck(n))
      const again = await openStore(after, { ...options, database: indexed(database, n) })
      await promises.check(again)
      // The store still works: rows that are written now survive another power cut.
      await promises.set(again, 'after', 'the cut')
      await promises.put(again, 100, 600)
      await promises.put(again, 101, LARGE)
      const last = { ...options, database: indexed(again.database, n + 7) }
      const once = await openStore(after.crash(luck(n + 1)), last)
      await promises.check(once)
      assert.deepEqual(once.corruptions, [])
      return isDone
    }))
}

for (const writes of ['one fact', 'all of it'])
  test(`the store survives a kill before every operation and a power cut once the next start has written ${writes}`, () =>
    atEveryOperation(async n => {
      const promises = new Promises()
      const files = until(n)
      const database = new MemoryDatabase()
      const isDone = await playUntil(files, database, promises)
      // The writes of the dead process are there, synced or not, so the store reports that it has them.
      const alive = files.reopen()
      const again = await openStore(alive, { ...options, database: database.after(database.batches) })
      await promises.check(again)
      for (const { multihash } of await gather(again.blocks.all())) await promises.say(again, multihash)
      if (writes === 'all of it') await play(again, promises)
      else await promises.set(again, 'written', 'since')
      const after = await openStore(alive.crash(), { ...options, database: again.database.after(n) })
      await promises.check(after)
      return isDone
    }))

const FAULTS = [
  new NoSpaceError('the disk is full'),
  new DiskError('the disk reported EIO'),
  new ReadOnlyError('the data directory cannot be written (EROFS)')
]

for (const fault of FAULTS) {
  test(`the store reports ${fault.name} at every operation, and works afterwards`, () =>
    atEveryOperation(async n => {
      const promises = new Promises()
      let hit = false
      let isOver = false
      const files = new FakeFiles({
        before: operation => {
          if (operation.n < n || isOver || hit) return
          hit = true
          throw fault
        }
      })
      const database = new MemoryDatabase()
      const reported: unknown[] = []
      const open = await openStore(files, { ...options, database }).catch(error => {
        reported.push(error)
        return openStore(files, { ...options, database })
      })
      let hasFailed = false
      for (const step of SCRIPT)
        await step(open, promises).catch(error => {
          hasFailed = true
          reported.push(error)
        })
      isOver = true
      assert.ok(reported.every(error => error === fault))
      await promises.check(open)
      await open.store.close()
      const after = await openStore(files.crash(), { ...options, database: database.after(database.batches) })
      await promises.check(after)
      assert.ok(after.report.wasClean || hasFailed)
      assert.equal(after.report.damagedStretches, 0)
      return !hit
    }))
}
