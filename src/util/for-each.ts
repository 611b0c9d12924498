import { raceSignal } from './deadline.ts'
import { Limiter } from './limiter.ts'

export interface ForEachOptions {
  /** Items whose work may be under way together. */
  atOnce: number
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` for each item of a stream, several at once, and takes no more items than can be worked on. Rejects with the
 * first failure, or with the signal's reason. After that no other item is begun; work that is under way goes on.
 */
export async function forEachAtOnce<T>(
  items: AsyncIterable<T>,
  { atOnce, signal }: ForEachOptions,
  work: (item: T) => Promise<void>
): Promise<void> {
  const slots = new Limiter(atOnce)
  const underWay = new Set<Promise<void>>()
  const failure = Promise.withResolvers<never>()
  // It is raced below. Until then nobody waits for it.
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
