import { type DfsError, StoppedError } from './errors.ts'

export interface BatcherOptions<In> {
  /** The most items one batch takes, one or more. */
  itemsMax: number
  /** The most bytes one batch takes, by `sizeOf`; one item alone may be larger. */
  bytesMax?: number
  sizeOf?: (item: In) => number
  /** How many batches may be under way at once. */
  parallel?: number
}

interface Waiting<In, Out> {
  item: In
  resolve: (out: Out) => void
  reject: (error: unknown) => void
}

/**
 * Group commit without a timer: while a batch is under way new items gather, and all of them leave together when it is
 * done. An idle batcher adds no wait at all; a busy one shares each disk sync or round trip among whoever came.
 *
 * `work` returns one result an item, in order. When it throws, every item of that batch fails with that error. What
 * waits is not bounded here: whoever adds waits for the result, and bounds how many do.
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

  get pending(): number {
    return this.#queue.length
  }

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

  /** Fails what waits and refuses what comes; batches under way end by themselves. */
  async close(error: DfsError = new StoppedError('stopped')): Promise<void> {
    this.#closed = error
    for (const { reject } of this.#queue.splice(0)) reject(error)
    await this.settled()
  }

  /** Resolves when nothing waits and nothing is under way. */
  settled(): Promise<void> {
    if (this.#running === 0 && this.#queue.length === 0) return Promise.resolve()
    return new Promise(resolve => this.#idle.push(resolve))
  }

  // At the end of this turn of the loop, so that all who come in it share the batch: of sixty-four requests that the loop
  // found waiting one is not written alone. Nobody waits for a timer.
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
