import { setTimeout as delay } from 'node:timers/promises'

/**
 * Time, as a port: everything that reads a clock or waits takes one of these, so that a test can hold time still or
 * move it. Milliseconds throughout.
 */
export interface Clock {
  /** Wall-clock time since the Unix epoch. It may jump; stamps and dates come from it. */
  now(): number
  /** Time that only moves forward, from an arbitrary start. Deadlines and rates come from it. */
  monotonic(): number
  /** Resolves after `ms`; rejects with an AbortError when the signal fires first. Does not keep the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls back once after `ms`, unless the returned function is called first. Does not keep the process alive. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    await delay(ms, undefined, signal === undefined ? { ref: false } : { ref: false, signal })
  },
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    timer.unref()
    return () => clearTimeout(timer)
  }
}
