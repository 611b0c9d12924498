import { raceSignal } from './deadline.ts'
import { Limiter } from './limiter.ts'

export interface ForEachOptions {
  /** The number of items that may be processed concurrently. */
  atOnce: number
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` for each item of a stream or a list, for several items concurrently. An item is taken only when there is
 * a slot for its work. The first failure of the work or of the stream ends the loop at once, as does an abort by the
 * caller, even while the loop waits for the stream. Then no other item is begun, and the signal that each `work` got
 * fires. The returned promise settles only when all started work has ended, so no rejection is left unhandled. It
 * rejects with the first failure, or with the reason of the caller's signal.
 */
export async function forEachUntilFailure<T>(
  items: AsyncIterable<T> | Iterable<T>,
  { atOnce, signal: outer }: ForEachOptions,
  work: (item: T, signal: AbortSignal) => Promise<unknown>
): Promise<void> {
  outer?.throwIfAborted()
  const slots = new Limiter(atOnce)
  const ended = new AbortController()
  const { signal } = ended
  const onAbort = (): void => ended.abort(outer?.reason)
  outer?.addEventListener('abort', onAbort, { once: true })
  const underWay = new Set<Promise<unknown>>()
  const reader = new ItemReader(items, signal)
  try {
    for (;;) {
      const release = await slots.acquire(1, signal)
      const next = await reader.next()
      if (next.done === true) break
      // This promise never rejects, so it may wait in the set. A failure becomes the reason of the signal.
      const done: Promise<unknown> = work(next.value, signal)
        .catch(error => ended.abort(error))
        .finally(() => {
          underWay.delete(done)
          release()
        })
      underWay.add(done)
    }
  } catch (error) {
    ended.abort(error)
  } finally {
    await Promise.all(underWay)
    outer?.removeEventListener('abort', onAbort)
  }
  if (!signal.aborted) return
  await reader.close()
  throw signal.reason
}

/** Reads a stream until a signal fires. */
class ItemReader<T> {
  readonly #items: AsyncIterator<T> | Iterator<T>
  readonly #signal: AbortSignal
  #isWaiting = false

  constructor(items: AsyncIterable<T> | Iterable<T>, signal: AbortSignal) {
    this.#items = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
    this.#signal = signal
  }

  /** Returns the next item. Rejects with the signal's reason once the signal fires, even if no item comes. */
  next(): Promise<IteratorResult<T>> {
    return raceSignal(this.#read(), this.#signal)
  }

  /**
   * Ends the stream and waits until it has ended. It does not wait if the stream still owes an item, because that may
   * take for ever. The caller already has a failure to report, so an error of this call is dropped.
   */
  async close(): Promise<void> {
    const closed = this.#return().catch(() => {})
    if (!this.#isWaiting) await closed
  }

  async #return(): Promise<void> {
    await this.#items.return?.()
  }

  async #read(): Promise<IteratorResult<T>> {
    this.#isWaiting = true
    try {
      return await this.#items.next()
    } finally {
      this.#isWaiting = false
    }
  }
}

/** Yields what a stream yields, and calls `onEnd` once it has ended by itself. */
export async function* untilEnd<T>(items: AsyncIterable<T>, onEnd: () => void): AsyncGenerator<T> {
  yield* items
  onEnd()
}
