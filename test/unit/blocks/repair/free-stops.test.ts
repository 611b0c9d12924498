import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FreeStops } from '../../../../src/blocks/repair/free-stops.ts'
import { IndexDb } from '../../../../src/disk/index-db.ts'
import { peerIdOf } from '../../../../src/format/peer-id.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { MemoryDatabase } from '../../../fixtures/memory-database.ts'

const DAY = 24 * 60 * 60_000
const [anna, ben] = [1, 2].map(n => peerIdOf(Buffer.alloc(32, n))) as [string, string]

const lackingAt = (sinceMs: number) => ({ sinceMs, nodes: 1 })

async function setup() {
  const clock = new ManualClock()
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  const restart = async (): Promise<FreeStops> => {
    const stops = new FreeStops({ index, clock })
    await stops.load()
    return stops
  }
  return { clock, index, restart, stops: await restart() }
}

test('a record that is incomplete stops freeing for seven days, and not longer', async () => {
  const { clock, stops } = await setup()
  assert.ok(!stops.isStopping)
  stops.add(anna, lackingAt(clock.now()))
  await stops.save()
  clock.advance(7 * DAY - 1)
  assert.ok(stops.isStopping)
  clock.advance(1)
  assert.ok(!stops.isStopping)
  assert.deepEqual(stops.incomplete, [{ author: anna, records: 1, isStopping: false }])
})

test('a record that is still being walked stops freeing too, but its author is not named', async () => {
  const { clock, stops } = await setup()
  stops.add(anna, { sinceMs: clock.now(), nodes: 0 })
  assert.deepEqual([stops.isStopping, stops.incomplete], [true, []])
  stops.add(anna, lackingAt(clock.now()))
  assert.deepEqual(stops.incomplete, [{ author: anna, records: 1, isStopping: true }])
  stops.remove(anna, { nodes: 1 })
  assert.deepEqual([stops.isStopping, stops.incomplete], [true, []])
  stops.remove(anna, { nodes: 0 })
  assert.ok(!stops.isStopping)
})

test('a record that is complete again no longer stops freeing, and its author is no longer named', async () => {
  const { clock, stops } = await setup()
  stops.add(anna, lackingAt(clock.now()))
  stops.add(ben, lackingAt(clock.now()))
  stops.remove(anna, { nodes: 1 })
  assert.deepEqual(stops.incomplete, [{ author: ben, records: 1, isStopping: true }])
  stops.remove(ben, { nodes: 1 })
  assert.ok(!stops.isStopping)
  assert.deepEqual(stops.incomplete, [])
})

test('the records of one author stop freeing for seven days in any thirty, however many there are', async () => {
  const { clock, stops } = await setup()
  // One incomplete record after another, each for three days, with a day in between.
  let stoppedMs = 0
  for (let hour = 0; hour < 30 * 24; hour++) {
    const inRound = hour % (4 * 24)
    if (inRound === 0) stops.add(anna, lackingAt(clock.now()))
    if (inRound === 3 * 24) stops.remove(anna, { nodes: 1 })
    await stops.save()
    if (stops.isStopping) stoppedMs += DAY / 24
    clock.advance(DAY / 24)
  }
  assert.equal(stoppedMs, 7 * DAY)
  // Another author has its own time.
  stops.add(ben, lackingAt(clock.now()))
  assert.ok(stops.isStopping)
})

test('a restart does not begin the time again, and the time runs on while the member is off', async () => {
  const { clock, stops, restart } = await setup()
  const sinceMs = clock.now()
  stops.add(anna, lackingAt(sinceMs))
  await stops.save()
  clock.advance(5 * DAY)
  const second = await restart()
  second.add(anna, lackingAt(clock.now()))
  await second.save()
  assert.ok(second.isStopping)
  clock.advance(2 * DAY + 1)
  const third = await restart()
  third.add(anna, lackingAt(clock.now()))
  assert.ok(!third.isStopping, 'a record that became incomplete a moment ago finds the time of its author used up')
  clock.advance(30 * DAY)
  third.add(anna, lackingAt(clock.now()))
  assert.ok(third.isStopping, 'a month later, it may stop freeing again')
})

test('a clock that ran years ahead for a while makes no record stop freeing for years, even after a restart', async () => {
  const { clock, stops, restart } = await setup()
  clock.jump(3_650 * DAY)
  stops.add(anna, lackingAt(clock.now()))
  await stops.save()
  const sinceMs = clock.now()
  clock.jump(-3_650 * DAY)
  const second = await restart()
  second.add(anna, lackingAt(sinceMs))
  await second.save()
  clock.advance(7 * DAY - 1)
  assert.ok(second.isStopping)
  clock.advance(1)
  assert.ok(!second.isStopping)
})

test('times that were noted while the clock ran ahead do not count as used up', async () => {
  const { clock, stops } = await setup()
  clock.jump(3_650 * DAY)
  stops.add(anna, lackingAt(clock.now()))
  await stops.save()
  clock.advance(7 * DAY)
  await stops.save()
  stops.remove(anna, { nodes: 1 })
  assert.ok(!stops.isStopping)
  clock.jump(-3_650 * DAY)
  stops.add(anna, lackingAt(clock.now()))
  assert.ok(stops.isStopping)
})

test('the memory about an author is bounded, and is forgotten after thirty days', async () => {
  const { clock, stops, index, restart } = await setup()
  const rows = async (): Promise<number[]> => {
    const sizes: number[] = []
    for await (const { value } of index.range(Buffer.from('T'))) sizes.push(value.byteLength)
    return sizes
  }
  for (let i = 0; i < 500; i++) {
    stops.add(anna, lackingAt(clock.now()))
    await stops.save()
    clock.advance(1_000)
    stops.remove(anna, { nodes: 1 })
    await stops.save()
    clock.advance(1_000)
  }
  assert.ok((await rows()).every(size => size < 1_000))
  clock.advance(31 * DAY)
  await (await restart()).save()
  assert.deepEqual(await rows(), [])
})
