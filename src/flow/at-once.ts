/**
 * Limits how much callers do concurrently. A caller takes one slot, or several if its work is larger. The others wait in
 * the order in which they came.
 */
export class Slots {
  readonly #atOnce: number
  #free: number
  readonly #waiting: Array<{ count: number; begin: () => void }> = []

  constructor(atOnce: number) {
    this.#atOnce = atOnce
    this.#free = atOnce
  }

  /**
   * Waits for slots; all of them if it wants more than there are. The holder must call the returned function once to
   * release them.
   */
  async take(wanted = 1): Promise<() => void> {
    const count = Math.min(wanted, this.#atOnce)
    if (this.#waiting.length > 0 || this.#free < count)
      await new Promise<void>(begin => this.#waiting.push({ count, begin }))
    else this.#free -= count
    return () => this.#release(count)
  }

  /** Runs `work` while it holds slots. */
  async run<T>(work: () => Promise<T>, wanted = 1): Promise<T> {
    const release = await this.take(wanted)
    try {
      return await work()
    } finally {
      release()
    }
  }

  #release(count: number): void {
    this.#free += count
    for (let next = this.#waiting[0]; next !== undefined && next.count <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= next.count
      next.begin()
    }
  }
}

/**
 * Runs `work` for the items of a stream, at most `atOnce` of them concurrently. While that many are under way, no
 * further item is read. The first failure of the work or of the stream ends the loop. It is thrown once all work under
 * way has ended too.
 *
 * An item for which `slotsOf` says more than one counts as that many. No further item is read while it waits for them.
 */
export async function forEachAtOnce<T>(
  source: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
  slotsOf: (item: T) => number = () => 1
): Promise<void> {
  const slots = new Slots(atOnce)
  const failures: unknown[] = []
  const start = async (item: T, releases: ReadonlyArray<() => void>): Promise<void> => {
    try {
      await work(item)
    } catch (error) {
      failures.push(error)
    } finally {
      for (const release of releases) release()
    }
  }
  // The first slot of the next item is taken before that item is read.
  let release = await slots.take()
  try {
    for await (const item of source) {
      if (failures.length > 0) break
      const more = Math.min(slotsOf(item), atOnce) - 1
      void start(item, more > 0 ? [release, await slots.take(more)] : [release])
      release = await slots.take()
    }
  } finally {
    release()
    // Once we hold all slots, nothing is under way.
    await slots.take(atOnce)
  }
  if (failures.length > 0) throw failures[0]
}
