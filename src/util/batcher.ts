import { type DfsError, StoppedError } from './errors.ts'

export interface BatcherOptions<In> {
  /** The most items in one batch, at least one. */
  itemsMax: number
  /** The most bytes in one batch, measured by `sizeOf`. A batch of a single item may be larger. */
  bytesMax?: number
  sizeOf?: (item: In) => number
  /** The number of batches that may be under way concurrently. */
  parallel?: number
}

interface Waiting<In, Out> {
  item: In
  resolve: (out: Out) => void
  reject: (error: unknown) => void
}

/**
 * Group commit without a timer: while a batch is under way, new items wait, and together they form the next batch. An
 * idle batcher adds no delay. A busy one shares each disk sync or round trip among all items that arrived meanwhile.
 *
 * `work` returns one result per item, in order. If it throws, every item of the batch fails with that error. The number
 * of waiting items is not bounded here. Each caller waits for its result, and the callers must limit how many of them
 * wait.
 */
export class Batcher<In, Out> {
  readonly #work: (items: In[]) => Promise<readonly Out[]>
  readonly #options: BatcherOptions<In>
  readonly #queue: Array<Waiting<In, Out>> = []
  #running = 0
  #scheduled = false
  #closed: DfsError | undefined
  readonly #idle: Array<() => void> = []

  constructor(work: (items: In[]) => Promise<readonly Out[]>, options: BatcherOptions<In>) {
    this.#work = work
    this.#options = options
  }

  /** The number of items that wait for their batch to begin. */
  get pending(): number {
    return this.#queue.length
  }

  /**
   * Adds an item to a batch. Resolves with the item's result. Rejects with the error of its batch, or with the error
   * given to `close`.
   */
  add(item: In): Promise<Out> {
    return new Promise<Out>((resolve, reject) => {
      if (this.#closed !== undefined) {
        reject(this.#closed)
        return
      }
      this.#queue.push({ item, resolve, reject })
      this.#schedule()
    })
  }

  /** Rejects the items that wait and those added later. Resolves when the batches under way have ended. */
  async close(error: DfsError = new StoppedError('stopped')): Promise<void> {
    this.#closed = error
    for (const { reject } of this.#queue.splice(0)) reject(error)
    await this.settled()
  }

  /** Resolves when no item waits and no batch is under way. */
  settled(): Promise<void> {
    if (this.#running === 0 && this.#queue.length === 0) return Promise.resolve()
    return new Promise(resolve => this.#idle.push(resolve))
  }

  // A batch starts at the end of this turn of the event loop, so that all items added in the turn share it. Otherwise,
  // if the loop handles sixty-four requests in one turn, the first of them would be written alone. There is no timer.
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      while (this.#queue.length > 0 && this.#running < (this.#options.parallel ?? 1)) void this.#run(this.#take())
    })
  }

  #take(): Array<Waiting<In, Out>> {
    const { itemsMax, bytesMax = Number.POSITIVE_INFINITY, sizeOf = () => 0 } = this.#options
    let count = 0
    let bytes = 0
    for (const { item } of this.#queue) {
      const size = sizeOf(item)
      if (count === itemsMax || (count > 0 && bytes + size > bytesMax)) break
      count++
      bytes += size
    }
    return this.#queue.splice(0, count)
  }

  async #run(batch: Array<Waiting<In, Out>>): Promise<void> {
    this.#running++
    try {
      const results = await this.#work(batch.map(({ item }) => item))
      for (const [i, { resolve }] of batch.entries()) resolve(results[i] as Out)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      this.#running--
      if (this.#queue.length > 0) this.#schedule()
      else if (this.#running === 0) for (const done of this.#idle.splice(0)) done()
    }
  }
}
