import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { BlockUnreachableError } from '../../../../src/blocks/errors.ts'
import type { RecordRef } from '../../../../src/blocks/record-ref.ts'
import { RepairBackground } from '../../../../src/blocks/repair/background.ts'
import { FreeStops } from '../../../../src/blocks/repair/free-stops.ts'
import { recordReferenceOps } from '../../../../src/blocks/repair/record-rows.ts'
import { UnfinishedRecords } from '../../../../src/blocks/repair/unfinished-records.ts'
import { ViewRound } from '../../../../src/blocks/repair/view-round.ts'
import { newOutcome, type WalkOutcome } from '../../../../src/blocks/repair/walk-outcome.ts'
import { IndexDb, type IndexOp } from '../../../../src/disk/index-db.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { defaultNodeCodec as codec } from '../../../../src/format/manifest.ts'
import type { View } from '../../../../src/members/view.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { MemoryDatabase } from '../../../fixtures/memory-database.ts'
import { settle } from '../../../fixtures/pass-time.ts'
import { peerOf, viewOf } from '../../../fixtures/views.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const author = peerOf(1)
const root = nameBlock(Buffer.from('a file'))

function refOf(n: number): RecordRef {
  const id = Buffer.alloc(32)
  id.writeUInt32BE(n)
  return { id, root, replicas: 2, author }
}
const numberOf = ({ id }: RecordRef): number => Buffer.from(id).readUInt32BE()

interface State {
  view: View
  /** All records of the log. */
  all: number[]
  outcome: (n: number) => Partial<WalkOutcome>
  busy: boolean
  /** How long each walk takes. */
  walkMs: number
}

/** The background work of one member. Each `start` is another process over the same index. */
async function setup(t: TestContext) {
  const clock = new ManualClock()
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  const walked: Array<[n: number, from: number]> = []
  const state: State = { view: viewOf(1, 2), all: [], outcome: () => ({}), busy: false, walkMs: 0 }
  const accept = async (n: number): Promise<void> => {
    state.all.push(n)
    await index.batch(recordReferenceOps(refOf(n)))
  }
  const running: RepairBackground[] = []
  const start = async ({ wasClean = true } = {}) => {
    await running.at(-1)?.stop()
    const stops = new FreeStops({ index, clock })
    const write = (ops: readonly IndexOp[]): Promise<void> => index.batch(ops)
    const unfinished = new UnfinishedRecords({ index, clock, codec, stops, write, onMended: () => {} })
    const round = new ViewRound(index, clock)
    const background = new RepairBackground({
      clock,
      logger: silentLogger,
      unfinished,
      stops,
      round,
      view: () => state.view,
      walk: (record, { from }) =>
        unfinished.walk(record, from, async () => {
          walked.push([numberOf(record), from])
          if (state.walkMs > 0) await clock.sleep(state.walkMs)
          return { outcome: { ...newOutcome(), ...state.outcome(numberOf(record)) }, endOps: [] }
        }),
      onRound: () => {},
      isQueued: () => false,
      records: async function* (after) {
        for (const n of state.all.toSorted((a, b) => a - b)) if (Buffer.compare(refOf(n).id, after) > 0) yield refOf(n)
      },
      claimAsides: async () => {},
      isBusy: () => state.busy,
      onError: error => assert.fail(error as Error)
    })
    await stops.load()
    await unfinished.load()
    await round.load({ fromStart: !wasClean })
    background.start()
    running.push(background)
    await settle()
    return { background, unfinished, round, stops }
  }
  t.after(() => running.at(-1)?.stop())
  const taken = (): number[] => walked.splice(0).map(([n]) => n)
  const pass = async (ms: number, stepMs = MINUTE): Promise<void> => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      clock.advance(stepMs)
      await settle(6)
    }
  }
  return { clock, index, state, accept, start, walked, taken, pass }
}

test('a clean start walks nothing that was walked before', async t => {
  const { accept, start, taken, pass } = await setup(t)
  for (const n of [1, 2, 3]) await accept(n)
  await start()
  assert.deepEqual(taken(), [1, 2, 3])
  const { background, round } = await start()
  await pass(HOUR)
  assert.deepEqual(taken(), [])
  assert.ok(background.isCertain)
  assert.ok(round.isDone)
  await accept(4)
  await start()
  assert.deepEqual(taken(), [4], 'only this one was not walked before the stop')
})

test('every record is walked once more after an unclean stop, and once under a new view that stays the same', async t => {
  const { state, accept, start, taken, pass } = await setup(t)
  for (const n of [1, 2, 3]) await accept(n)
  await start()
  taken()
  const { background } = await start({ wasClean: false })
  assert.deepEqual(taken(), [1, 2, 3])
  for (const n of [3, 2, 3]) {
    state.view = viewOf(1, 2, n)
    background.retry()
    await pass(30_000, 10_000)
  }
  assert.deepEqual(taken(), [], 'no view stood for a minute')
  await pass(5 * MINUTE)
  assert.deepEqual(taken(), [1, 2, 3])
  await start()
  await pass(5 * MINUTE)
  assert.deepEqual(taken(), [])
})

test('every record is walked once a month, in case the index has lost a reference, through any number of starts', async t => {
  const { accept, start, taken, pass } = await setup(t)
  await accept(1)
  await start()
  taken()
  await pass(20 * DAY, HOUR)
  await start()
  await pass(9 * DAY, HOUR)
  assert.deepEqual(taken(), [])
  await pass(2 * DAY, HOUR)
  assert.deepEqual(taken(), [1])
  await pass(27 * DAY, HOUR)
  assert.deepEqual(taken(), [])
})

test('a walk of all records continues after a restart where it was', async t => {
  const { state, accept, start, taken, pass } = await setup(t)
  for (let n = 1; n <= 200; n++) await accept(n)
  await start()
  taken()
  state.view = viewOf(1, 2, 3)
  state.walkMs = 1_000
  await start()
  await pass(MINUTE + 20_000, 1_000)
  const first = taken()
  assert.ok(first.length >= 64 && first.length < 200, `${first.length} walks`)
  state.walkMs = 0
  await start()
  await pass(2 * MINUTE)
  const rest = taken()
  assert.ok(rest.length <= 200 - 64, `${rest.length} walks`)
  assert.deepEqual(new Set([...first, ...rest]).size, 200)
})

test('records that were not walked at the last stop are walked first, and until then nothing is certain', async t => {
  const { clock, state, accept, start, taken } = await setup(t)
  for (const n of [1, 2, 3]) await accept(n)
  await start()
  taken()
  state.view = viewOf(1, 2, 3)
  await accept(9)
  state.walkMs = 1_000
  const { background } = await start()
  assert.deepEqual([taken(), background.isCertain], [[9], false])
  clock.advance(1_000)
  await settle()
  clock.advance(3_000)
  await settle()
  assert.ok(background.isCertain)
})

test('background work rests three times as long as it works, and much longer while somebody waits', async t => {
  for (const { busy, walksMax, walksMin } of [
    { busy: false, walksMin: 200, walksMax: 300 },
    { busy: true, walksMin: 30, walksMax: 80 }
  ]) {
    const { state, accept, start, taken, pass } = await setup(t)
    for (let n = 1; n <= 500; n++) await accept(n)
    Object.assign(state, { busy, walkMs: 1_000 })
    await start()
    await pass(65_000, 500)
    const { length } = taken()
    // Sixteen walks at once take one second.
    assert.ok(length >= walksMin && length <= walksMax, `${length} walks`)
  }
})

test('a record with missing blocks is walked again, at growing intervals, and at once when a member connects', async t => {
  const { state, accept, start, taken, pass } = await setup(t)
  await accept(7)
  state.outcome = () => ({ missingChunks: 2, position: 30 })
  const { background, unfinished } = await start()
  assert.deepEqual([taken(), unfinished.missingBlocks], [[7], 2])
  assert.ok(background.isCertain, 'blocks are missing, but it is known what is needed')
  await pass(HOUR, 5_000)
  const walks = taken().length
  assert.ok(walks >= 6 && walks < 20, `${walks} walks in an hour`)
  background.retry()
  await settle()
  assert.deepEqual(taken(), [7])
  state.outcome = () => ({})
  background.retry()
  await settle()
  assert.equal(unfinished.missingBlocks, 0)
  taken()
  await pass(HOUR)
  assert.deepEqual(taken(), [])
})

test('another walk begins at the first chunk that is missing, even after a restart', async t => {
  const { state, accept, start, walked, pass } = await setup(t)
  await accept(7)
  state.outcome = () => ({ missingChunks: 1, position: 30 })
  await start()
  state.outcome = () => ({ missingChunks: 1, position: 44 })
  await pass(15_000, 5_000)
  await start()
  assert.deepEqual(walked, [
    [7, 0],
    [7, 30],
    [7, 44]
  ])
})

test('a record that is to be walked at a certain time is walked then, from its beginning, even after a restart', async t => {
  const { clock, state, start, taken, pass } = await setup(t)
  const { background, unfinished } = await start()
  await unfinished.later(refOf(5), clock.now() + HOUR)
  background.schedule(clock.now() + HOUR)
  await pass(30 * MINUTE)
  await start()
  await pass(29 * MINUTE)
  assert.deepEqual(taken(), [])
  await pass(12 * MINUTE)
  assert.deepEqual(taken(), [5])
  state.outcome = () => ({ owedAgainAtMs: clock.now() + HOUR })
  await unfinished.later(refOf(6), clock.now())
  background.schedule(clock.now())
})

test('a clock that ran years ahead for a while puts no walk of a record off for years', async t => {
  const { accept, start, pass, taken, clock } = await setup(t)
  await accept(1)
  const { unfinished } = await start()
  await pass(MINUTE)
  assert.deepEqual(taken(), [1])
  clock.jump(3_650 * DAY)
  await unfinished.later(refOf(1), clock.now() + HOUR)
  clock.jump(-3_650 * DAY)
  await start()
  await pass(MINUTE)
  assert.deepEqual(taken(), [1])
})

test('a clock that ran years ahead for a while puts no walk of all records off for years', async t => {
  const { accept, start, pass, taken, clock } = await setup(t)
  clock.jump(3_650 * DAY)
  await accept(1)
  await start()
  await pass(MINUTE)
  assert.deepEqual(taken(), [1])
  clock.jump(-3_650 * DAY)
  await start()
  await pass(MINUTE)
  assert.deepEqual(taken(), [1])
  await pass(29 * DAY, DAY)
  assert.deepEqual(taken(), [])
})

test('a record is walked again for chunks that were evicted while it was being walked', async t => {
  const { clock, state, accept, start, taken, pass } = await setup(t)
  await accept(5)
  state.walkMs = MINUTE
  const { background, unfinished } = await start()
  await unfinished.later(refOf(5), clock.now() + HOUR)
  background.schedule(clock.now() + HOUR)
  await pass(75 * MINUTE)
  assert.deepEqual(taken(), [5, 5])
})

test('a missing manifest node makes it uncertain what is needed for seven days, through restarts', async t => {
  const { state, accept, start, pass } = await setup(t)
  await accept(1)
  state.outcome = () => ({ missingNodes: 1, position: 0 })
  let { background, unfinished } = await start()
  assert.ok(!background.isCertain)
  await pass(3 * DAY, HOUR)
  ;({ background, unfinished } = await start())
  assert.ok(!background.isCertain)
  await pass(4 * DAY - 2 * HOUR, HOUR)
  assert.ok(!background.isCertain)
  await pass(3 * HOUR, HOUR)
  assert.ok(background.isCertain)
  assert.equal(unfinished.missingBlocks, 1)
  ;({ background } = await start())
  assert.ok(background.isCertain, 'the restart does not begin the seven days again')
})

test('a record whose walk was cut is uncertain and goes on after a restart, and no author is blamed for it', async t => {
  const { state, accept, start, walked } = await setup(t)
  await accept(1)
  state.outcome = () => ({ isCut: true, position: 40 })
  const first = await start()
  assert.deepEqual([first.background.isCertain, first.unfinished.missingBlocks], [false, 1])
  const second = await start()
  assert.deepEqual([second.stops.isStopping, second.stops.incomplete], [true, []])
  walked.splice(0)
  state.outcome = () => ({})
  second.background.retry()
  await settle()
  assert.deepEqual(walked, [[1, 40]])
  assert.ok(second.background.isCertain)
})

test('a record that has been incomplete for long is tried once a day, and when a member connects', async t => {
  const { state, accept, start, taken, pass } = await setup(t)
  await accept(1)
  state.outcome = () => ({ missingNodes: 1, position: 0 })
  const { background } = await start()
  await pass(8 * DAY, HOUR)
  taken()
  await pass(3 * DAY, 10 * MINUTE)
  assert.equal(taken().length, 3)
  background.retry()
  await settle()
  assert.deepEqual(taken(), [1])
})

test('a walk that fails makes it uncertain what is needed until one succeeds, however long that takes', async t => {
  const { state, accept, start, pass, taken } = await setup(t)
  await accept(1)
  state.outcome = () => {
    throw new Error('the disk is broken')
  }
  const { background } = await start()
  await pass(30 * DAY, HOUR)
  assert.ok(!background.isCertain)
  state.outcome = () => ({})
  await pass(HOUR)
  assert.ok(background.isCertain)
  // A record that had been walked before is walked again too.
  state.outcome = () => {
    throw new BlockUnreachableError(root)
  }
  state.view = viewOf(1, 2, 3)
  background.retry()
  await pass(5 * MINUTE)
  assert.ok(!background.isCertain)
  state.outcome = () => ({})
  taken()
  await pass(20 * MINUTE)
  assert.deepEqual(taken(), [1])
  assert.ok(background.isCertain)
})

test('new records for which the queue has no room are walked here, and until then nothing is certain', async t => {
  const { accept, start, taken, pass, clock } = await setup(t)
  const { background } = await start()
  for (const n of [1, 2]) {
    await accept(n)
    background.noteDropped()
  }
  assert.ok(!background.isCertain)
  clock.advance(10_000)
  await pass(MINUTE)
  assert.deepEqual(taken(), [1, 2])
  assert.ok(background.isCertain)
})

test('chunks that nobody has count as lost once they have been looked for long enough, until they come', async t => {
  const { state, accept, start, pass } = await setup(t)
  for (const n of [1, 2]) await accept(n)
  state.outcome = n =>
    n === 1 ? { missingChunks: 3, position: 0 } : { missingChunks: 1, missingNodes: 1, position: 0 }
  const { background } = await start()
  await pass(9 * MINUTE)
  assert.equal(background.lostChunks, 0, 'a member that has them may still come')
  await pass(30 * MINUTE)
  assert.equal(background.lostChunks, 3, 'what is incomplete has a warning of its own')
  state.outcome = () => ({})
  background.retry()
  await pass(MINUTE)
  assert.equal(background.lostChunks, 0)
})
