import { raceSignal } from './deadline.ts'
import { Limiter } from './limiter.ts'

export interface ForEachOptions {
  /** The number of items that may be processed concurrently. */
  atOnce: number
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` for each item of a stream, for several items concurrently. It takes an item only when there is a slot for
 * its work. It rejects with the first failure, or with the signal's reason. After that it begins no other item, but
 * work that is under way continues.
 */
export async function forEachUntilFailure<T>(
  items: AsyncIterable<T>,
  { atOnce, signal }: ForEachOptions,
  work: (item: T) => Promise<void>
): Promise<void> {
  const slots = new Limiter(atOnce)
  const underWay = new Set<Promise<void>>()
  const failure = Promise.withResolvers<never>()
  // The race below handles this promise. Until then nobody does, and a rejection would count as unhandled.
  failure.promise.catch(() => {})
  let isFailed = false
  for await (const item of items) {
    const release = await slots.acquire(1, signal)
    if (isFailed) {
      release()
      break
    }
    const done = work(item)
      .catch(error => {
        isFailed = true
        failure.reject(error)
      })
      .finally(() => {
        underWay.delete(done)
        release()
      })
    underWay.add(done)
  }
  await Promise.race([failure.promise, raceSignal(Promise.all(underWay), signal)])
  if (isFailed) await failure.promise
}
