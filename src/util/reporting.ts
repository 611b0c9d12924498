import type { Clock } from './clock.ts'

export interface ReportingOptions {
  clock: Pick<Clock, 'sleep'>
  everyMs: number
  signal: AbortSignal | undefined
}

/**
 * Runs `work`, and yields from time to time what it has last reported, if that is new. The last item is the result of
 * the work. A caller that takes no more items aborts the work, and waits until it has ended.
 */
export async function* reporting<T>(
  { clock, everyMs, signal: given }: ReportingOptions,
  work: (onProgress: (soFar: T) => void, signal: AbortSignal) => Promise<T>
): AsyncGenerator<T> {
  const ended = new AbortController()
  const signal = given === undefined ? ended.signal : AbortSignal.any([given, ended.signal])
  let soFar: T | undefined
  const working = work(report => {
    soFar = report
  }, signal)
  try {
    const isOver = working.then(() => true)
    const isPaused = (): Promise<boolean> =>
      clock.sleep(everyMs, ended.signal).then(
        () => false,
        () => false
      )
    while (!(await Promise.race([isOver, isPaused()]))) {
      if (soFar !== undefined) yield soFar
      soFar = undefined
    }
    yield await working
  } finally {
    ended.abort()
    await working.catch(() => {
      // If it has failed, the caller knows it. If the caller has gone, nobody waits for it.
    })
  }
}
