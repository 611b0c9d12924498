import type { Clock } from './clock.ts'
import { DeadlineError } from './errors.ts'

/**
 * Runs `work` with a signal that fires when the caller's signal does, or after `timeoutMs`. A timeout throws a
 * `DeadlineError`. An abort by the caller stays an abort. The timer is cancelled when the work ends.
 */
export async function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  outer?.throwIfAborted()
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(outer?.reason)
  outer?.addEventListener('abort', onAbort, { once: true })
  const cancel = clock.after(timeoutMs, () => controller.abort(new DeadlineError(`no answer within ${timeoutMs} ms`)))
  try {
    return await raceSignal(work(controller.signal), controller.signal)
  } finally {
    cancel()
    outer?.removeEventListener('abort', onAbort)
  }
}

/**
 * Settles like `promise`, or rejects with the signal's reason if the signal fires first. The work behind the promise is
 * not stopped.
 */
export async function raceSignal<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  // If the signal fires first, the caller gets its reason, and nobody handles a later rejection of the promise.
  promise.catch(() => {})
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/**
 * Resolves once the promise does, or after `ms`. Rejects if the promise does, or with the signal's reason if the signal
 * fires first. The work behind the promise is not stopped.
 */
export async function waitUpTo(clock: Clock, ms: number, until: Promise<unknown>, signal?: AbortSignal): Promise<void> {
  const { promise: isOver, resolve } = Promise.withResolvers<void>()
  const cancel = clock.after(ms, resolve)
  try {
    await raceSignal(Promise.race([until, isOver]), signal)
  } finally {
    cancel()
  }
}
