import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClockCheck, type ClockDifference } from '../../../src/members/clock-check.ts'
import { CLOCK_CHECK_MS, CLOCK_RECHECK_MS, CLOCK_REFUSAL_MS } from '../../../src/members/constants.ts'
import type { Admission } from '../../../src/members/joining/peer-machine.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { settle } from '../../fixtures/pass-time.ts'

const HOUR = 3_600_000

/** A clock check with members whose clocks are ahead of ours by these times, which a test may change. */
function setup(ahead: Record<string, number>) {
  const clock = new ManualClock()
  let offsetMs = 0
  let measured = 0
  const found: ClockDifference[] = []
  const check = new ClockCheck({
    clock: {
      now: () => clock.now() + offsetMs,
      monotonic: () => clock.monotonic(),
      sleep: (ms, signal) => clock.sleep(ms, signal),
      after: (ms, callback) => clock.after(ms, callback)
    },
    log: silentLogger.forComponent('test'),
    admissions: () => Object.entries(ahead).map(([peer, aheadMs]) => ({ peer, aheadMs })) as Admission[],
    measure: async () => {
      measured++
    },
    onDiffers: difference => found.push(difference)
  })
  return {
    check,
    clock,
    found,
    measured: () => measured,
    set: (ms: number) => {
      offsetMs = ms
    }
  }
}

test('a clock that differs is reported once while it does, and asked for more often', async t => {
  const ahead: Record<string, number> = { a: 0, b: 24 * HOUR }
  const { check, clock, found, measured } = setup(ahead)
  check.worker.start()
  t.after(() => check.worker.stop())
  check.admitted('b')
  check.admitted('a')
  assert.deepEqual(found, [{ peer: 'b', aheadMs: 24 * HOUR }])
  assert.deepEqual([check.differences, check.isOff], [found, false])
  clock.advance(CLOCK_CHECK_MS)
  await settle()
  const before = measured()
  clock.advance(CLOCK_RECHECK_MS)
  await settle()
  assert.equal(measured(), before + 1)
  ahead['b'] = 0
  clock.advance(CLOCK_RECHECK_MS)
  await settle()
  ahead['b'] = -HOUR
  clock.advance(CLOCK_CHECK_MS)
  await settle()
  assert.deepEqual(found.slice(1), [{ peer: 'b', aheadMs: -HOUR }])
})

test('the error of a clock that most members contradict says by how much it is wrong', () => {
  const { check } = setup({ a: -24 * HOUR, b: -25 * HOUR, c: -20 })
  assert.match(check.error?.message ?? '', /^this machine's clock is 24 h ahead of the clocks of most members: set it/)
  assert.match(setup({ a: HOUR, b: 20 * 365 * 24 * HOUR }).check.error?.message ?? '', /20 years behind/)
})

test('a clock that was set is noticed, and the others are asked at once', async t => {
  const { check, clock, measured, set } = setup({})
  check.worker.start()
  t.after(() => check.worker.stop())
  check.refused('a', 24 * HOUR)
  clock.advance(5_000)
  assert.equal(check.noticeJump(), false, 'time has passed')
  assert.equal(check.refusals.length, 1)
  set(-24 * HOUR)
  assert.equal(check.noticeJump(), true)
  await settle()
  assert.deepEqual([measured(), check.refusals, check.noticeJump()], [1, [], false])
})

test('a refusal because of clocks is remembered until the peer is admitted, or for a while', () => {
  const { check, clock } = setup({})
  check.refused('a', HOUR)
  check.refused('b', -HOUR)
  check.admitted('a')
  assert.deepEqual(check.refusals, [{ peer: 'b', aheadMs: -HOUR }])
  clock.advance(CLOCK_REFUSAL_MS + 1)
  assert.deepEqual(check.refusals, [])
})
