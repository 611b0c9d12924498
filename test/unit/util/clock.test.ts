import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../../src/util/clock.ts'

const DAY_MS = 24 * 3600 * 1000

test('a wait of a month lasts a month, although the platform counts in 32 bits', t => {
  const timers: Array<{ callback: () => void; ms: number }> = []
  t.mock.method(globalThis, 'setTimeout', (callback: () => void, ms: number) => {
    timers.push({ callback, ms })
    return { unref: () => {} }
  })
  let fired = 0
  systemClock.after(60 * DAY_MS, () => fired++)
  let passedMs = 0
  for (const { callback, ms } of timers) {
    assert.equal(fired, 0)
    assert.ok(ms < 2 ** 31)
    passedMs += ms
    callback()
  }
  assert.equal(fired, 1)
  assert.equal(passedMs, 60 * DAY_MS)
})

test('a moment that has passed is due at once, and the platform is not asked for a negative time', t => {
  const waits: number[] = []
  t.mock.method(globalThis, 'setTimeout', (_callback: () => void, ms: number) => {
    waits.push(ms)
    return { unref: () => {} }
  })
  systemClock.after(-0.02, () => {})
  assert.deepEqual(waits, [0])
})

test('a cancelled callback is not called', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let fired = 0
  const early = systemClock.after(10, () => fired++)
  const late = systemClock.after(30 * DAY_MS, () => fired++)
  early()
  t.mock.timers.tick(29 * DAY_MS)
  late()
  t.mock.timers.tick(29 * DAY_MS)
  assert.equal(fired, 0)
  late()
})

test('a sleep ends after the given time', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const sleeping = systemClock.sleep(1000, new AbortController().signal)
  t.mock.timers.tick(1000)
  await sleeping
})

test('an aborted sleep rejects with the reason, and leaves no listener', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const sleeping = systemClock.sleep(DAY_MS, controller.signal)
  controller.abort(reason)
  await assert.rejects(sleeping, error => error === reason)
  await assert.rejects(systemClock.sleep(0, controller.signal), error => error === reason)
  await assert.rejects(systemClock.sleep(DAY_MS, AbortSignal.abort()), { name: 'AbortError' })
})

test('the clocks advance, and the monotonic clock never goes back', () => {
  assert.ok(Math.abs(systemClock.now() - Date.now()) < 1000)
  let before = systemClock.monotonic()
  for (let i = 0; i < 1000; i++) {
    const now = systemClock.monotonic()
    assert.ok(now >= before)
    before = now
  }
})
