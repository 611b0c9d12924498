import assert from 'node:assert/strict'
import { test } from 'node:test'
import { REOPEN_PAUSE_MS, REOPEN_PAUSE_MS_MAX, RESERVE_BYTES, START_FREE_BYTES } from '../../../src/disk/constants.ts'
import { DiskError, IndexCorruptError, NoSpaceError } from '../../../src/disk/errors.ts'
import { type Database, IndexDb, type IndexOp, indexKey } from '../../../src/disk/index-db.ts'
import { indexReopener } from '../../../src/disk/index-reopener.ts'
import { Reserve } from '../../../src/disk/reserve.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { levelDatabase } from '../../fixtures/level.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { gather } from '../../fixtures/streams.ts'

const key = (name: string): Uint8Array => indexKey('t', Buffer.from(name))
const put = (name: string, value = 'x'): IndexOp => ({ type: 'put', key: key(name), value: Buffer.from(value) })
const numbered = (count: number): IndexOp[] => Array.from({ length: count }, (_, i) => put(`${i}`.padStart(4, '0')))

async function setup(real: Database = new MemoryDatabase().asDatabase) {
  const database = real as unknown as Pick<MemoryDatabase, 'batch'>
  const corruptions: IndexCorruptError[] = []
  let failures = 0
  const index = new IndexDb(real, silentLogger)
  index.onCorrupt = error => corruptions.push(error)
  index.onFailed = () => failures++
  await index.open()
  /** Lets the next batch fail, as on a full disk. */
  const fail = async (message = 'IO error: No space left on device'): Promise<void> => {
    const { batch } = database
    database.batch = async () => {
      throw Object.assign(new Error(message), { code: 'LEVEL_IO_ERROR' })
    }
    await assert.rejects(index.batch([put('lost')]))
    database.batch = batch
  }
  return { database, index, corruptions, fail, failures: () => failures }
}

test('after a failed batch all others are refused at once with its error, and reads go on', async () => {
  const { index, fail, failures } = await setup()
  await index.batch([put('a')])
  assert.deepEqual([index.state, index.failure], ['open', undefined])
  await fail()
  assert.deepEqual([index.state, failures()], ['failed', 1])
  await assert.rejects(index.batch([put('b')]), NoSpaceError)
  assert.throws(() => index.assertWritable(), NoSpaceError)
  assert.equal(await index.has(key('a')), true)
  assert.equal((await gather(index.range(key('')))).length, 1)
  await index.reopen(async write => write([put('c')]))
  assert.deepEqual([index.state, index.failure], ['open', undefined])
  await index.batch([put('b')])
  assert.deepEqual(
    (await gather(index.range(key('')))).map(row => Buffer.from(row.key).toString()),
    ['ta', 'tb', 'tc']
  )
})

test('batches that wait behind a failed one are refused too, since LevelDB would write them after a torn one', async () => {
  const memory = new MemoryDatabase()
  const { index } = await setup(memory.asDatabase)
  const { batch } = memory
  let batches = 0
  memory.batch = async (ops, options) => {
    if (batches++ === 0) {
      await settle(5)
      throw Object.assign(new Error('IO error: EIO'), { code: 'LEVEL_IO_ERROR' })
    }
    return batch.call(memory, ops, options)
  }
  const first = assert.rejects(index.batch([put('a')]), DiskError)
  await settle(1)
  const second = assert.rejects(index.batch([put('b')]), DiskError)
  await Promise.all([first, second])
  assert.equal(await index.has(key('b')), false)
  assert.equal(batches, 1)
})

test('reads wait while the database is closed, and batches do not', async () => {
  const memory = new MemoryDatabase()
  const { index, fail } = await setup(memory.asDatabase)
  await index.batch(numbered(100))
  await fail()
  const held = Promise.withResolvers<void>()
  const open = memory.open.bind(memory)
  memory.open = async () => {
    await held.promise
    await open()
  }
  const reopening = index.reopen(async () => {})
  await settle(3)
  assert.equal(index.state, 'reopening')
  let answers = 0
  const keys = numbered(100).map(op => op.key)
  const reads = [index.get(keys[0] as Uint8Array), index.getMany(keys), gather(index.range(key('')))]
  for (const read of reads) void read.then(() => answers++)
  await assert.rejects(index.batch([put('b')]), NoSpaceError)
  await settle(3)
  assert.equal(answers, 0)
  held.resolve()
  await reopening
  const [one, many, all] = await Promise.all(reads)
  assert.equal(Buffer.from(one as Uint8Array).toString(), 'x')
  assert.deepEqual([(many as unknown[]).length, (all as unknown[]).length], [100, 100])
})

test('LevelDB: a range under way goes on after the database was opened again', async t => {
  const { index, fail } = await setup(await levelDatabase(t))
  t.after(() => index.close())
  await index.batch(numbered(1000))
  const seen: string[] = []
  for await (const row of index.range(key(''), { limit: 900 })) {
    seen.push(Buffer.from(row.key).toString().slice(1))
    if (seen.length !== 300) continue
    await fail()
    await index.reopen(async write => write([put('0001a')]))
  }
  assert.deepEqual(
    seen,
    numbered(900).map(op => Buffer.from(op.key).toString().slice(1))
  )
})

test('LevelDB: reads that are under way when the database is closed get their rows', async t => {
  const { index, fail } = await setup(await levelDatabase(t))
  t.after(() => index.close())
  const ops = numbered(2000)
  await index.batch(ops)
  await fail()
  const reads = Array.from({ length: 8 }, () => index.getMany(ops.map(op => op.key)))
  const ranges = Array.from({ length: 8 }, () => gather(index.range(key(''))))
  await index.reopen(async () => {})
  for (const values of await Promise.all(reads)) assert.ok(values.every(value => value !== undefined))
  for (const rows of await Promise.all(ranges)) assert.equal(rows.length, 2000)
})

test('the database is closed only once no read is under way', async () => {
  const memory = new MemoryDatabase()
  const { index, fail } = await setup(memory.asDatabase)
  const ops = numbered(100)
  await index.batch(ops)
  await fail()
  const held = Promise.withResolvers<void>()
  const { getMany, close } = memory
  let closes = 0
  memory.close = async () => {
    closes++
    await close.call(memory)
  }
  memory.getMany = async keys => {
    await held.promise
    return getMany.call(memory, keys)
  }
  const reading = index.getMany(ops.map(op => op.key))
  const reopening = index.reopen(async () => {})
  await settle(3)
  assert.equal(closes, 0)
  held.resolve()
  assert.equal((await reading).length, 100)
  await reopening
  assert.equal(index.state, 'open')
})

test('an index that has lost a batch when it is opened again is corrupt', async () => {
  for (const link of [0, 1]) {
    const memory = new MemoryDatabase()
    const { index, fail, corruptions } = await setup(memory.asDatabase)
    await index.batch([put('a')])
    await index.batch([put('b')])
    await fail()
    // The last link is lost, as if the disk had dropped its last write.
    memory.corrupt(indexKey('m', Buffer.from('link'), Uint8Array.of(0, 0, 0, link)))
    await assert.rejects(
      index.reopen(async () => {}),
      IndexCorruptError
    )
    assert.deepEqual([index.state, corruptions.length], ['failed', 1])
  }
})

test('a database that cannot be opened again fails reads with the reason, until it can', async () => {
  const memory = new MemoryDatabase()
  const { index, fail } = await setup(memory.asDatabase)
  await index.batch([put('a')])
  await fail()
  const open = memory.open.bind(memory)
  memory.open = async () => {
    throw Object.assign(new Error('IO error: No space left on device'), { code: 'LEVEL_IO_ERROR' })
  }
  await assert.rejects(
    index.reopen(async () => {}),
    NoSpaceError
  )
  await assert.rejects(index.get(key('a')), NoSpaceError)
  await assert.rejects(gather(index.range(key(''))), NoSpaceError)
  memory.open = open
  await index.reopen(async () => {})
  assert.equal(await index.has(key('a')), true)
})

test('a reopening whose own batch fails leaves the index failed, and can be repeated', async () => {
  const { index, fail, database } = await setup()
  await fail()
  const { batch } = database
  database.batch = async () => {
    throw Object.assign(new Error('IO error: EIO'), { code: 'LEVEL_IO_ERROR' })
  }
  await assert.rejects(
    index.reopen(write => write([put('a')])),
    DiskError
  )
  assert.equal(index.state, 'failed')
  database.batch = batch
  await index.reopen(write => write([put('a')]))
  assert.equal(index.state, 'open')
})

interface Reopener {
  clock: ManualClock
  files: FakeFiles
  reserve: Reserve
  index: { failure: unknown }
  worker: ReturnType<typeof indexReopener>
  reopened: () => number
  pass: (ms: number) => Promise<void>
  setFreeBytes: (bytes: number) => void
}

async function reopenerOf(work: () => Promise<void> = async () => {}): Promise<Reopener> {
  const options = { totalBytes: 1 << 30 }
  const files = new FakeFiles(options)
  const clock = new ManualClock()
  const index: { failure: unknown } = { failure: undefined }
  const reserve = new Reserve({ files, chance: seededChance(1), logger: silentLogger })
  await reserve.fill()
  let reopened = 0
  const store = {
    reopenIndex: async () => {
      reopened++
      await work()
      index.failure = undefined
    }
  }
  const worker = indexReopener({ store, index, files, reserve, clock, logger: silentLogger, onError: () => {} })
  worker.start()
  await settle(3)
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await settle(30)
  }
  const setFreeBytes = (bytes: number): void => {
    const used = [...files.contents().values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
    options.totalBytes = used + bytes
  }
  return { clock, files, reserve, index, worker, reopened: () => reopened, pass, setFreeBytes }
}

test('the index is opened again by itself, and nothing happens as long as it is open', async () => {
  const { worker, index, pass, reopened, files } = await reopenerOf()
  assert.equal(worker.status.nextInMs, null)
  await pass(REOPEN_PAUSE_MS_MAX)
  assert.equal(reopened(), 0)
  index.failure = new DiskError('the disk reported EIO')
  worker.schedule()
  await pass(REOPEN_PAUSE_MS)
  assert.equal(reopened(), 1)
  assert.equal(worker.status.nextInMs, null)
  assert.deepEqual([...files.contents().keys()], ['reserve'])
})

test('a full disk is waited for with growing pauses, after its reserve was used', async () => {
  const { worker, index, pass, reopened, files, setFreeBytes } = await reopenerOf()
  // With the reserve there is not quite enough.
  setFreeBytes(START_FREE_BYTES - RESERVE_BYTES - 1)
  index.failure = new NoSpaceError('the disk is full')
  worker.schedule()
  await pass(REOPEN_PAUSE_MS)
  assert.deepEqual([reopened(), worker.status.lastError, files.contents().has('reserve')], [0, 'no-space', false])
  const pauses: number[] = []
  for (let i = 0; i < 9; i++) {
    pauses.push(worker.status.nextInMs as number)
    await pass(pauses.at(-1) as number)
  }
  assert.deepEqual(pauses.slice(0, 3), [1_000, 2_000, 4_000])
  assert.equal(pauses.at(-1), REOPEN_PAUSE_MS_MAX)
  assert.equal(reopened(), 0)
  setFreeBytes(START_FREE_BYTES)
  await pass(REOPEN_PAUSE_MS_MAX)
  assert.deepEqual([reopened(), worker.status.lastError], [1, null])
})

test('the reserve has enough space to open the index again on a disk that is full', async () => {
  const { worker, index, pass, reopened, setFreeBytes } = await reopenerOf()
  setFreeBytes(0)
  index.failure = new NoSpaceError('the disk is full')
  worker.schedule()
  await pass(REOPEN_PAUSE_MS)
  assert.equal(reopened(), 1)
})

test('a reopening that finds no space removes the reserve, for example when a quota is used up', async () => {
  let isFull = true
  const { worker, index, pass, files } = await reopenerOf(async () => {
    if (isFull) throw new NoSpaceError('the disk quota is used up')
  })
  index.failure = new NoSpaceError('the disk quota is used up')
  worker.schedule()
  await pass(REOPEN_PAUSE_MS)
  assert.equal(files.contents().has('reserve'), false)
  isFull = false
  await pass(REOPEN_PAUSE_MS)
  assert.equal(index.failure, undefined)
})

test('a corrupt index is not opened again, but left to be rebuilt', async () => {
  const { worker, index, pass, reopened } = await reopenerOf()
  index.failure = new IndexCorruptError('the index is damaged')
  worker.schedule()
  await pass(REOPEN_PAUSE_MS_MAX)
  assert.equal(reopened(), 0)
})
