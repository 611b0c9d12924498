import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { RecordRef } from '../../../../src/blocks/record-ref.ts'
import { RepairQueue } from '../../../../src/blocks/repair/queue.ts'
import type { WalkOutcome } from '../../../../src/blocks/repair/walk-outcome.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const MINUTE = 60_000
const NONE: WalkOutcome = { missingChunks: 0, missingNodes: 0, owedAgainAtMs: Number.POSITIVE_INFINITY }
const refOf = (n: number): RecordRef => ({ id: Buffer.from([n >> 8, n & 255]) }) as unknown as RecordRef
const nameOf = ({ id }: RecordRef): number => (id[0]! << 8) + id[1]!

function setup(t: TestContext, { standing = [] as number[], unfinished = [] as number[] } = {}) {
  const clock = new ManualClock()
  const walked: number[] = []
  const errors: unknown[] = []
  const state = {
    walk: async (_: number): Promise<WalkOutcome> => NONE,
    unfinished: new Set(unfinished)
  }
  // The room that owns the queue aborts its walks when it stops.
  const ended = Promise.withResolvers<WalkOutcome>()
  const queue = new RepairQueue({
    clock,
    logger: silentLogger,
    walk: async record => {
      walked.push(nameOf(record))
      return Promise.race([state.walk(nameOf(record)), ended.promise])
    },
    records: async function* () {
      for (const n of standing) yield refOf(n)
    },
    isUnfinished: async record => state.unfinished.has(nameOf(record)),
    hasUnfinished: async () => state.unfinished.size > 0,
    onError: error => errors.push(error)
  })
  t.after(() => {
    ended.resolve(NONE)
    return queue.stop()
  })
  return { clock, queue, walked, errors, state }
}

test('unfinished records are walked first at start, and until then nothing is certain', async t => {
  const { queue, walked, state } = setup(t, { standing: [1, 2, 3, 4], unfinished: [3] })
  let finish!: () => void
  state.walk = () =>
    new Promise(resolve => {
      finish = () => resolve(NONE)
    })
  const started = queue.start()
  await settle()
  assert.deepEqual(walked, [3])
  assert.equal(queue.isCertain, false)
  state.walk = async () => NONE
  finish()
  await started
  await settle()
  assert.deepEqual(walked, [3, 1, 2, 3, 4])
  assert.ok(queue.isCertain)
})

test('the queue is certain at once if nothing was unfinished', async t => {
  const { queue } = setup(t, { standing: [1, 2] })
  assert.equal(queue.isCertain, false)
  await queue.start()
  assert.ok(queue.isCertain)
})

test('a record with missing blocks is walked again, at growing intervals, and at once when a member comes', async t => {
  const { clock, queue, walked, state } = setup(t)
  await queue.start()
  state.walk = async () => ({ ...NONE, missingChunks: 2 })
  queue.add(refOf(7))
  await settle()
  assert.equal(queue.missingBlocks, 2)
  assert.ok(queue.isCertain, 'blocks are missing, but it is known what is needed')
  let walks = walked.length
  const waits: number[] = []
  for (let ms = 0; ms < 60 * MINUTE; ms += 5_000) {
    clock.advance(5_000)
    await settle(4)
    if (walked.length > walks) waits.push(ms)
    walks = walked.length
  }
  assert.ok(waits.length >= 6 && waits.length < 20, `${waits.length} walks in an hour`)
  queue.retry()
  await settle()
  assert.equal(walked.length, walks + 1)
  state.walk = async () => NONE
  queue.retry()
  await settle()
  assert.equal(queue.missingBlocks, 0)
  clock.advance(60 * MINUTE)
  await settle()
  assert.equal(walked.length, walks + 2)
})

test('the pause before a walk is repeated doubles, and is the first again after a retry or a walk that helped', async t => {
  const { clock, queue, walked, state } = setup(t)
  await queue.start()
  state.walk = async () => ({ ...NONE, missingChunks: 1 })
  queue.add(refOf(1))
  await settle(4)
  /** Seconds until the next walk. */
  const pauseBefore = async (): Promise<number> => {
    const walks = walked.length
    for (let seconds = 1; ; seconds++) {
      clock.advance(1_000)
      await settle(4)
      if (walked.length > walks) return seconds
    }
  }
  assert.deepEqual([await pauseBefore(), await pauseBefore(), await pauseBefore()], [10, 20, 40])
  queue.retry()
  await settle(4)
  assert.equal(walked.length, 5)
  assert.deepEqual([await pauseBefore(), await pauseBefore()], [10, 20])
  state.walk = async () => NONE
  assert.equal(await pauseBefore(), 40)
  clock.advance(80_000)
  await settle(4)
  assert.equal(queue.worker.status.nextInMs, null, 'nothing is missing any more')
  state.walk = async () => ({ ...NONE, missingChunks: 1 })
  queue.add(refOf(2))
  await settle(4)
  assert.equal(await pauseBefore(), 10)
})

test('nothing is certain while a manifest node is missing or a walk has failed', async t => {
  const { queue, state, errors } = setup(t)
  await queue.start()
  for (const fails of [false, true]) {
    state.walk = async () => {
      if (fails) throw new Error('the disk is broken')
      return { ...NONE, missingNodes: 1 }
    }
    queue.add(refOf(1))
    await settle()
    assert.equal(queue.isCertain, false)
    state.walk = async () => NONE
    queue.retry()
    await settle()
    assert.ok(queue.isCertain)
  }
  assert.equal(errors.length, 1)
})

test('a record that waits too long for its walk makes it uncertain, one that is walked again does not', async t => {
  const { clock, queue, state } = setup(t, { standing: [1] })
  const { promise: never } = Promise.withResolvers<WalkOutcome>()
  state.walk = n =>
    n === 1
      ? Promise.race([never, clock.sleep(10 * MINUTE).then(() => NONE)])
      : clock.sleep(10 * MINUTE).then(() => NONE)
  await queue.start()
  clock.advance(5 * MINUTE)
  assert.ok(queue.isCertain)
  queue.add(refOf(2))
  assert.ok(queue.isCertain)
  clock.advance(MINUTE + 1)
  assert.equal(queue.isCertain, false)
  clock.advance(10 * MINUTE)
  await settle()
  assert.ok(queue.isCertain)
})

test('the queue has caught up once the records that had come are walked, not those that come after', async t => {
  const { clock, queue, state } = setup(t)
  await queue.start()
  state.walk = n => clock.sleep(n * 1_000).then(() => NONE)
  queue.add(refOf(1))
  let isCaughtUp = false
  const caughtUp = queue.caughtUp().then(() => {
    isCaughtUp = true
  })
  await settle()
  queue.add(refOf(100))
  await settle()
  assert.ok(!isCaughtUp)
  clock.advance(1_000)
  await caughtUp
})

test('a record is walked again when its evicted chunks are owed again', async t => {
  const { clock, queue, walked } = setup(t)
  await queue.start()
  queue.addLater(refOf(5), clock.now() + 60 * MINUTE)
  for (let i = 0; i < 59; i++) {
    clock.advance(MINUTE)
    await settle(3)
  }
  assert.deepEqual(walked, [])
  for (let i = 0; i < 12; i++) {
    clock.advance(MINUTE)
    await settle(3)
  }
  assert.deepEqual(walked, [5])
  assert.equal(queue.missingBlocks, 0)
})

test('a record is walked again for chunks that were evicted while it was being walked', async t => {
  const { clock, queue, walked, state } = setup(t)
  await queue.start()
  state.walk = () => clock.sleep(MINUTE).then(() => NONE)
  queue.add(refOf(5))
  await settle()
  queue.addLater(refOf(5), clock.now() + 60 * MINUTE)
  for (let i = 0; i < 75; i++) {
    clock.advance(MINUTE)
    await settle(3)
  }
  assert.deepEqual(walked, [5, 5])
})

test('records that do not fit in memory are found again, and until then nothing is certain', async t => {
  const many = Array.from({ length: 21_000 }, (_, i) => i)
  const { queue, walked, state } = setup(t, { standing: many })
  // The queue started without them: they come as new records.
  state.unfinished = new Set()
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  state.walk = async n => {
    await gate
    state.unfinished.delete(n)
    return NONE
  }
  void queue.start()
  await settle()
  state.unfinished = new Set(many)
  for (const n of many) queue.add(refOf(n))
  assert.equal(queue.isCertain, false)
  open()
  for (let i = 0; i < 400 && !(queue.isCertain && state.unfinished.size === 0); i++) await settle()
  assert.equal(state.unfinished.size, 0)
  assert.ok(queue.isCertain)
  assert.equal(new Set(walked).size, many.length)
})

test('a queue that stops waits for the walks under way and begins no other', async t => {
  const { clock, queue, walked, state } = setup(t)
  await queue.start()
  let isDone = false
  state.walk = async () => {
    await settle()
    isDone = true
    return { ...NONE, missingChunks: 1 }
  }
  queue.add(refOf(1))
  await queue.stop()
  assert.ok(isDone)
  queue.add(refOf(2))
  clock.advance(60 * MINUTE)
  await settle()
  assert.deepEqual(walked, [1])
})
