/** Limits the number of callers that work concurrently. The others wait in the order in which they came. */
export class Slots {
  #free: number
  readonly #waiting: Array<() => void> = []

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** Waits for a slot. The holder must call the returned function once to release the slot. */
  async take(): Promise<() => void> {
    if (this.#free === 0) await new Promise<void>(resolve => this.#waiting.push(resolve))
    else this.#free--
    return () => this.#pass()
  }

  /** Runs `work` while it holds a slot. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const pass = await this.take()
    try {
      return await work()
    } finally {
      pass()
    }
  }

  #pass(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}

/**
 * Runs `work` for the items of a stream, at most `atOnce` of them concurrently. While that many are under way, no
 * further item is read. The first failure of the work or of the stream ends the loop. It is thrown once all work under
 * way has ended too.
 */
export async function forEachAtOnce<T>(
  source: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>
): Promise<void> {
  const slots = new Slots(atOnce)
  const failures: unknown[] = []
  const start = async (item: T, pass: () => void): Promise<void> => {
    try {
      await work(item)
    } catch (error) {
      failures.push(error)
    } finally {
      pass()
    }
  }
  // The slot of the next item is taken before that item is read.
  let pass = await slots.take()
  try {
    for await (const item of source) {
      if (failures.length > 0) break
      void start(item, pass)
      pass = await slots.take()
    }
  } finally {
    pass()
    // Once we hold all slots, nothing is under way.
    for (let i = 0; i < atOnce; i++) await slots.take()
  }
  if (failures.length > 0) throw failures[0]
}
