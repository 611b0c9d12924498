/**
 * Time, as a port: everything that reads a clock or waits takes one of these, so that a test can hold time still or
 * move it. Milliseconds throughout.
 */
export interface Clock {
  /** Wall-clock time since the Unix epoch. It may jump; stamps and dates come from it. */
  now(): number
  /** Time that only moves forward, from an arbitrary start. Deadlines and rates come from it. */
  monotonic(): number
  /** Resolves after `ms`; rejects with the signal's reason when that fires first. Does not keep the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls back once after `ms`, unless the returned function is called first. Does not keep the process alive. */
  after(ms: number, callback: () => void): () => void
}

/** A timer of the platform counts in 32 signed bits, and fires at once when asked for more. */
const TIMER_MS_MAX = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const cancel = after(ms, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      const onAbort = (): void => {
        cancel()
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
    }),
  after
}

function after(ms: number, callback: () => void): () => void {
  let left = ms
  let timer: NodeJS.Timeout
  const wait = (): void => {
    const slice = Math.min(left, TIMER_MS_MAX)
    left -= slice
    timer = setTimeout(left > 0 ? wait : callback, slice)
    timer.unref()
  }
  wait()
  return () => clearTimeout(timer)
}
