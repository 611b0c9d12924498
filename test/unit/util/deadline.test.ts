import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import type { Clock } from '../../../src/util/clock.ts'
import { raceSignal, waitUpTo, withDeadline } from '../../../src/util/deadline.ts'
import { DeadlineError, isAbort } from '../../../src/util/errors.ts'
import { ManualClock } from '../../fixtures/clock.ts'

const never = (): Promise<never> => new Promise(() => {})

test('work that ends in time returns its result, and its timer ends with it', async () => {
  const clock = new ManualClock()
  const outer = new AbortController()
  let inner: AbortSignal | undefined
  const result = await withDeadline(clock, 100, outer.signal, async signal => {
    inner = signal
    return 'done'
  })
  assert.equal(result, 'done')
  clock.advance(1000)
  outer.abort()
  assert.equal(inner?.aborted, false)
  assert.equal(getEventListeners(outer.signal, 'abort').length, 0)
})

test('a timeout is a DeadlineError and not an abort, and it fires the signal of the work', async () => {
  const clock = new ManualClock()
  const heard: unknown[] = []
  const waiting = withDeadline(clock, 100, undefined, signal => {
    signal.addEventListener('abort', () => {
      heard.push(signal.reason)
    })
    return never()
  })
  clock.advance(99)
  assert.equal(heard.length, 0)
  clock.advance(1)
  await assert.rejects(waiting, DeadlineError)
  assert.ok(heard[0] instanceof DeadlineError)
  assert.ok(!isAbort(heard[0]))
})

test('a sleep inside the work does not turn a timeout into an abort', async () => {
  const clock = new ManualClock()
  const waiting = withDeadline(clock, 100, undefined, signal => clock.sleep(1000, signal))
  clock.advance(100)
  await assert.rejects(waiting, DeadlineError)
})

test('an abort by the caller stays an abort, before and during the work', async () => {
  const clock = new ManualClock()
  const outer = new AbortController()
  const waiting = withDeadline(clock, 100, outer.signal, never)
  outer.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
  let ran = false
  await assert.rejects(
    withDeadline(clock, 100, outer.signal, async () => {
      ran = true
    }),
    { name: 'AbortError' }
  )
  assert.equal(ran, false)
})

test('an error of the work reaches the caller', async () => {
  const failing = withDeadline(new ManualClock(), 100, undefined, async () => {
    throw new TypeError('mine')
  })
  await assert.rejects(failing, TypeError)
})

test('a race with a signal leaves no listener and no unhandled rejection', async () => {
  const controller = new AbortController()
  assert.equal(await raceSignal(Promise.resolve(1), controller.signal), 1)
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  assert.equal(await raceSignal(Promise.resolve(2), undefined), 2)
  const { promise, reject } = Promise.withResolvers<never>()
  const racing = raceSignal(promise, controller.signal)
  controller.abort()
  await assert.rejects(racing, { name: 'AbortError' })
  reject(new Error('nobody listens any more'))
  await assert.rejects(raceSignal(Promise.reject(new Error('late')), controller.signal), { name: 'AbortError' })
})

test('a wait ends with its promise, after its time, or with its signal, and its timer ends with it', async () => {
  const clock = new ManualClock()
  let cancelled = 0
  const counting = {
    after: (ms: number, callback: () => void) => {
      const cancel = clock.after(ms, callback)
      return () => {
        cancelled++
        cancel()
      }
    }
  } as Clock
  await waitUpTo(counting, 100, Promise.resolve())
  await assert.rejects(waitUpTo(counting, 100, Promise.reject(new TypeError('mine'))), TypeError)
  const controller = new AbortController()
  const aborted = waitUpTo(counting, 100, never(), controller.signal)
  controller.abort()
  await assert.rejects(aborted, { name: 'AbortError' })
  const waiting = waitUpTo(counting, 100, never(), new AbortController().signal)
  assert.equal(cancelled, 3)
  clock.advance(100)
  await waiting
  assert.equal(cancelled, 4)
})
