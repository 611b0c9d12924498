/**
 * Time, as a port. Everything that reads a clock or waits takes a `Clock`, so that a test can stop time or move it. All
 * times are in milliseconds.
 */
export interface Clock {
  /** Returns wall-clock time since the Unix epoch. It may jump. Stamps and dates come from it. */
  now(): number
  /** Returns monotonic time from an arbitrary start. Deadlines and rates come from it. */
  monotonic(): number
  /**
   * Resolves after `ms`, or rejects with the signal's reason if the signal fires first. Does not keep the process
   * alive.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /**
   * Calls back once after `ms`, unless the returned function is called before that. Does not keep the process alive.
   */
  after(ms: number, callback: () => void): () => void
}

/** The platform's timers count in 31 bits. A longer timer would fire immediately. */
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
  // A time that has already passed is due immediately. Given a negative time, the platform would print a warning.
  let left = Math.max(0, ms)
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
