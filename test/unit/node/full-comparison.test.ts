import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IndexDb } from '../../../src/disk/index-db.ts'
import { adoptIndex } from '../../../src/disk/index-marks.ts'
import { FullComparison, type OtherMember } from '../../../src/node/full-comparison.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'

const STORE_ID = Buffer.alloc(16, 1)

/** The comparison of one process. It continues with what earlier processes left in the database. */
async function open(database: MemoryDatabase, others: OtherMember[], { isNew = false } = {}) {
  const index = new IndexDb(database.asDatabase, silentLogger)
  await index.open()
  await adoptIndex(index, STORE_ID).catch(() => {})
  const clock = new ManualClock()
  const comparison = new FullComparison({ index, clock, logger: silentLogger, others: () => others })
  assert.ok(!comparison.isWhole, 'before it knows')
  await comparison.load({ isNew })
  return { comparison, clock }
}

const member = (peer: string, state: OtherMember['state'] = 'in') => ({ peer, state }) as OtherMember

test('a rebuilt index is in doubt, across any number of crashes, until every member was compared', async () => {
  let database = new MemoryDatabase()
  const others = [member('a'), member('b')]
  for (let i = 0; i < 3; i++) {
    const { comparison } = await open(database, others)
    assert.deepEqual([comparison.isWhole, comparison.missing], [false, 2 - Math.min(i, 1)])
    await comparison.noteCompared('a' as OtherMember['peer'], 0)
    assert.deepEqual([comparison.isWhole, comparison.missing], [false, 1])
    database = database.after(database.batches)
  }
  const { comparison } = await open(database, others)
  await comparison.noteCompared('b' as OtherMember['peer'], 0)
  assert.deepEqual([comparison.isWhole, comparison.missing], [true, 0])
  const after = await open(database.after(database.batches), [...others, member('c')])
  assert.ok(after.comparison.isWhole)
})

test('a member that is out does not keep up the doubt, and one that goes out ends it', async () => {
  const others = [member('a'), member('b', 'out')]
  const { comparison } = await open(new MemoryDatabase(), others)
  assert.equal(comparison.missing, 1)
  others[0]!.state = 'out'
  await comparison.noteView()
  assert.ok(comparison.isWhole)
})

test('a member of which no status has arrived keeps up the doubt until one comparison is complete', async () => {
  const others = [member('a', 'unknown'), member('b', 'unknown')]
  const { comparison } = await open(new MemoryDatabase(), others)
  assert.equal(comparison.missing, 2)
  await comparison.noteCompared('a' as OtherMember['peer'], 0)
  assert.ok(comparison.isWhole)
})

test('a network of one member, and a new data directory, are never in doubt', async () => {
  assert.ok((await open(new MemoryDatabase(), [])).comparison.isWhole)
  assert.ok((await open(new MemoryDatabase(), [member('a')], { isNew: true })).comparison.isWhole)
})

test('a new doubt forgets who was compared before it', async () => {
  const database = new MemoryDatabase()
  const { comparison } = await open(database, [member('a'), member('b')])
  await comparison.noteCompared('a' as OtherMember['peer'], 0)
  await comparison.begin()
  assert.equal(comparison.missing, 2)
  assert.equal((await open(database.after(database.batches), [member('a'), member('b')])).comparison.missing, 2)
})

test('a doubt that begins while the node runs ends by comparisons that begin after it', async () => {
  const { comparison, clock } = await open(new MemoryDatabase(), [member('a')], { isNew: true })
  clock.advance(1_000)
  await comparison.begin()
  await comparison.noteCompared('a' as OtherMember['peer'], clock.monotonic() - 1)
  assert.equal(comparison.missing, 1, 'it may have missed what is in doubt')
  await comparison.noteCompared('a' as OtherMember['peer'], clock.monotonic())
  assert.ok(comparison.isWhole)
})

test('a doubt of a network of one member ends at once', async () => {
  const { comparison } = await open(new MemoryDatabase(), [])
  await comparison.begin()
  assert.ok(comparison.isWhole)
})

test('a new doubt that begins while the end of an earlier one is being written stays', async () => {
  const database = new MemoryDatabase()
  const { comparison } = await open(database, [member('a')])
  const ending = comparison.noteCompared('a' as OtherMember['peer'], 0)
  const { batch } = database
  let batches = 0
  let beginning: Promise<void> | undefined
  database.batch = async (...parameters) => {
    if (++batches === 2) beginning = comparison.begin()
    await batch.apply(database, parameters)
  }
  await ending
  await beginning
  assert.deepEqual([comparison.isWhole, comparison.missing], [false, 1])
  assert.equal((await open(database.after(database.batches), [member('a')])).comparison.missing, 1)
})
