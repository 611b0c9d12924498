import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Comparisons } from '../../../src/members/comparisons.ts'
import { COMPARE_EVERY_MS, COMPARE_PAUSE_MS } from '../../../src/members/constants.ts'
import type { Admission } from '../../../src/members/joining/peer-machine.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const admissionOf = (peer: string): Admission => ({ peer }) as Admission

/** Comparisons with these members. `compare` stands for one comparison. */
function setup(t: TestContext, admissions: Admission[], compare: (peer: string) => Promise<boolean>) {
  const clock = new ManualClock()
  const asked: Array<{ peer: string; ms: number }> = []
  const done: Array<[string, boolean]> = []
  const started = clock.now()
  const comparisons = new Comparisons({
    clock,
    chance: seededChance(4),
    log: silentLogger.forComponent('test'),
    compare: peer => {
      asked.push({ peer, ms: clock.now() - started })
      return compare(peer)
    },
    admissions: () => admissions,
    isCurrent: admission => admissions.includes(admission),
    onCompared: (peer, { isFirst }) => done.push([peer, isFirst])
  })
  comparisons.worker.start()
  t.after(() => comparisons.stop())
  return { clock, comparisons, asked, done }
}

test('a member that never answers does not keep the others from being compared', async t => {
  const admissions = ['frozen', 'p', 'q'].map(admissionOf)
  const { clock, asked } = setup(t, admissions, peer =>
    peer === 'frozen' ? new Promise<boolean>(() => {}) : Promise.resolve(true)
  )
  await timePassesUntil(clock, 'the frozen one', () => asked.some(({ peer }) => peer === 'frozen'))
  const before = asked.length
  await timePassesUntil(clock, 'many more rounds', () => asked.length > before + 10)
  assert.equal(asked.filter(({ peer }) => peer === 'frozen').length, 1, 'one comparison with it is under way')
})

test('rounds come every half minute or so, with every member in its turn', async t => {
  const { clock, asked, done } = setup(t, ['p', 'q', 'r'].map(admissionOf), async () => true)
  await timePassesUntil(clock, 'rounds', () => asked.length === 40)
  const mean = (asked.at(-1)!.ms - asked[0]!.ms) / 39
  assert.ok(mean > 0.8 * COMPARE_EVERY_MS && mean < 1.3 * COMPARE_EVERY_MS, `${mean} ms`)
  assert.deepEqual(new Set(asked.map(({ peer }) => peer)), new Set(['p', 'q', 'r']))
  assert.equal(done.length, 40)
  assert.equal(done.filter(([, isFirst]) => isFirst).length, 3)
})

test('a member that asks to be compared all the time gets a pause, and does not keep the others from their turn', async t => {
  const { clock, comparisons, asked } = setup(t, ['noisy', 'q'].map(admissionOf), async () => true)
  for (let passed = 0; passed < 10 * COMPARE_EVERY_MS; passed += 100) {
    comparisons.soon('noisy')
    clock.advance(100)
    await settle(3)
  }
  const times = asked.filter(({ peer }) => peer === 'noisy').map(({ ms }) => ms)
  const pauses = times.slice(1).map((ms, i) => ms - times[i]!)
  assert.ok(Math.min(...pauses) >= COMPARE_PAUSE_MS, `${Math.min(...pauses)} ms`)
  assert.ok(asked.some(({ peer }) => peer === 'q'))
})

test('a member that was admitted again is compared again, although an earlier comparison still runs', async t => {
  const admissions = [admissionOf('p')]
  let isStuck = true
  const { comparisons, done } = setup(t, admissions, () =>
    isStuck ? new Promise<boolean>(() => {}) : Promise.resolve(true)
  )
  void comparisons.run(admissions[0]!)
  await settle(3)
  isStuck = false
  comparisons.forget('p')
  admissions[0] = admissionOf('p')
  await comparisons.run(admissions[0])
  assert.deepEqual(done, [['p', true]])
})

test('a member that has asked is compared again soon if the comparison fails, whatever other members there are', async t => {
  const names = Array.from({ length: 50 }, (_, i) => `m${i}`)
  let fails = 1
  const { clock, comparisons, asked } = setup(t, names.map(admissionOf), async peer => {
    if (peer === 'm7' && fails-- > 0) throw new Error('broken off')
    return true
  })
  comparisons.soon('m7')
  await timePassesUntil(clock, 'a few rounds', () => asked.length >= 5)
  const times = asked.filter(({ peer }) => peer === 'm7').map(({ ms }) => ms)
  assert.equal(times.length, 2)
  assert.ok(times[1]! - times[0]! < 2 * COMPARE_EVERY_MS)
})
