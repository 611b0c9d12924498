import type { Budget, Lease } from '../util/budget.ts'
import { StoppedError } from '../util/errors.ts'

export interface ReadAheadOptions<In, Out> {
  /** The most items that are worked on, or whose results wait for the reader. */
  window: number
  memory: Budget
  /** The owner of the leases. */
  owner: string
  /** The number of bytes that the result of an item takes. */
  bytesOf: (item: In) => number
  /** It calls `onComing` once the result of an item is on its way, if it knows. */
  work: (item: In, signal: AbortSignal, onComing: () => void) => Promise<Out>
  /** Called with a result that nobody will use. */
  discard: (result: Out) => void
  signal?: AbortSignal | undefined
}

/** A result, and the lease on the memory that it takes. The lease ends when the next result is asked for. */
export interface Ahead<Out> {
  result: Out
  lease: Lease
}

/** If a stream has no more items than this, all of them are asked for at once. */
const TOGETHER_MAX = 2

// Created once, because the error that `abort` would create by itself costs a stack trace for each block.
const NOT_NEEDED = new StoppedError('the result is not needed now')

/**
 * Maps a stream, working on several items concurrently, and yields the results in order. It waits for memory for the
 * result that the reader asks for. It works on further items only while there is memory that nobody else wants. As soon
 * as others have to wait for memory, it drops that work, and it starts it again once the reader asks for its result. If
 * the reader stops early, the work under way is aborted.
 *
 * The first result comes alone, because its reader waits for it: if a whole window were asked for at once, the results
 * would share the way and arrive together. The others are asked for as soon as the first one is on its way. Only a few
 * results, such as the two chunks of a short range, are asked for together.
 */
export function readAhead<In, Out>(
  options: ReadAheadOptions<In, Out>
): (source: AsyncIterable<In>) => AsyncGenerator<Ahead<Out>> {
  const { window, memory, owner, bytesOf, signal } = options
  return async function* (source) {
    const items = source[Symbol.asyncIterator]()
    const ahead: Array<Task<In, Out>> = []
    const onAbort = (): void => {
      for (const task of ahead) task.abort(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort)
    let isEnded = false
    let isFirst = true
    /** Takes items in until the window is full. */
    const take = async (window: number): Promise<void> => {
      while (!isEnded && ahead.length < window) {
        const next = await items.next()
        if (next.done === true) isEnded = true
        else ahead.push(new Task(next.value, options))
      }
    }
    /** Begins those items for which there is memory to spare. */
    const beginMore = (): void => {
      for (const task of ahead) if (!task.isBegun && !task.tryBegin()) break
    }
    try {
      for (;;) {
        if (ahead.length === 0) await take(1)
        const first = ahead[0]
        if (first === undefined) return
        if (!first.isBegun) first.begin(await memory.acquire(bytesOf(first.item), { owner, signal }))
        const lease = first.keep()
        try {
          await take(window)
          if (isFirst && ahead.length > TOGETHER_MAX) await first.isComing
          isFirst = false
          beginMore()
          const result = await first.result
          ahead.shift()
          yield { result, lease }
        } finally {
          lease.release()
        }
      }
    } finally {
      signal?.removeEventListener('abort', onAbort)
      for (const task of ahead) task.drop()
      await items.return?.(undefined)
    }
  }
}

interface UnderWay<Out> {
  lease: Lease
  controller: AbortController
  result: Promise<Out>
  isComing: Promise<void>
}

/** The work on one item. It may be dropped and begun again. */
class Task<In, Out> {
  readonly item: In
  readonly #options: ReadAheadOptions<In, Out>
  #underWay: UnderWay<Out> | undefined

  constructor(item: In, options: ReadAheadOptions<In, Out>) {
    this.item = item
    this.#options = options
  }

  get isBegun(): boolean {
    return this.#underWay !== undefined
  }

  get result(): Promise<Out> {
    return this.#running().result
  }

  /** Resolves once the result is on its way, or the work has ended. */
  get isComing(): Promise<void> {
    return this.#running().isComing
  }

  /** Begins if there is memory to spare. Returns true if it has begun. */
  tryBegin(): boolean {
    const { memory, owner, bytesOf } = this.#options
    const lease = memory.trySpare(bytesOf(this.item), owner, () => this.drop())
    if (lease !== undefined) this.begin(lease)
    return lease !== undefined
  }

  begin(lease: Lease): void {
    const controller = new AbortController()
    const { signal } = this.#options
    if (signal?.aborted === true) controller.abort(signal.reason)
    const { promise: isComing, resolve: onComing } = Promise.withResolvers<void>()
    const result = this.#options.work(this.item, controller.signal, onComing)
    // If this work fails, the error is thrown when the reader reaches its result. If the reader never reaches it, then
    // an earlier error was thrown or the reader stopped.
    result.then(
      () => onComing(),
      () => onComing()
    )
    this.#underWay = { lease, controller, result, isComing }
  }

  /**
   * Called when the reader asks for the result, so that the work is no longer dropped for others. The caller owns the
   * lease.
   */
  keep(): Lease {
    return this.#running().lease.take()
  }

  abort(reason: unknown): void {
    this.#underWay?.controller.abort(reason)
  }

  /** Gives the memory back. */
  drop(): void {
    const dropped = this.#underWay
    if (dropped === undefined) return
    this.#underWay = undefined
    dropped.controller.abort(NOT_NEEDED)
    dropped.lease.release()
    dropped.result.then(this.#options.discard, () => {})
  }

  #running(): UnderWay<Out> {
    if (this.#underWay === undefined) throw new TypeError('the work has not begun')
    return this.#underWay
  }
}
