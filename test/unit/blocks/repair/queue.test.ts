import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { RecordRef } from '../../../../src/blocks/record-ref.ts'
import { RepairQueue } from '../../../../src/blocks/repair/queue.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const MINUTE = 60_000
const refOf = (n: number): RecordRef => ({ id: Buffer.from([n >> 8, n & 255]) }) as unknown as RecordRef
const nameOf = ({ id }: RecordRef): number => (id[0]! << 8) + id[1]!

function setup(t: TestContext) {
  const clock = new ManualClock()
  const walked: number[] = []
  const dropped: number[] = []
  const state = { walk: async (_: number): Promise<void> => {} }
  // The room that owns the queue aborts its walks when it stops.
  const ended = Promise.withResolvers<void>()
  const queue = new RepairQueue({
    clock,
    walk: async record => {
      walked.push(nameOf(record))
      return Promise.race([state.walk(nameOf(record)), ended.promise])
    },
    onNoRoom: record => dropped.push(nameOf(record))
  })
  t.after(() => {
    ended.resolve()
    return queue.stop()
  })
  return { clock, queue, walked, dropped, state }
}

test('new records are walked at once, in the order of their arrival, several at a time', async t => {
  const { clock, queue, walked, state } = setup(t)
  state.walk = () => clock.sleep(MINUTE)
  for (let n = 1; n <= 20; n++) queue.add(refOf(n))
  await settle(4)
  assert.equal(walked.length, 16)
  clock.advance(MINUTE)
  await settle(4)
  assert.deepEqual(
    walked,
    Array.from({ length: 20 }, (_, i) => i + 1)
  )
})

test('a record is late while it waits for more than a minute for the end of its walk', async t => {
  const { clock, queue, state } = setup(t)
  state.walk = () => clock.sleep(10 * MINUTE)
  queue.add(refOf(2))
  clock.advance(MINUTE)
  assert.ok(!queue.isLate)
  clock.advance(1)
  assert.ok(queue.isLate)
  assert.ok(queue.has(refOf(2)))
  clock.advance(10 * MINUTE)
  await settle(4)
  assert.ok(!queue.isLate)
  assert.ok(!queue.has(refOf(2)))
})

test('the queue has caught up once the records added before are walked, whatever is added later', async t => {
  const { clock, queue, state } = setup(t)
  state.walk = n => clock.sleep(n * 1_000)
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

test('a record for which the queue has no room is handed back', async t => {
  const { queue, dropped, state } = setup(t)
  state.walk = () => new Promise(() => {})
  for (let n = 0; n < 20_016 + 3; n++) queue.add(refOf(n))
  await settle(4)
  assert.deepEqual(dropped, [20_016, 20_017, 20_018])
})

test('a queue that stops waits for the walks under way and begins no other', async t => {
  const { queue, walked, state } = setup(t)
  let isDone = false
  state.walk = async () => {
    await settle()
    isDone = true
  }
  queue.add(refOf(1))
  await queue.stop()
  assert.ok(isDone)
  queue.add(refOf(2))
  await settle()
  assert.deepEqual(walked, [1])
})
