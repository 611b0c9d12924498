/** The reads of blocks that are under way, so that no bytes are overwritten while somebody may still read them. */
export class ReadsUnderWay {
  readonly #reads = new Set<Promise<unknown>>()

  /** Runs a read, from the moment at which it asks the index where the block is. */
  async run<T>(read: () => Promise<T>): Promise<T> {
    const reading = read()
    this.#reads.add(reading)
    try {
      return await reading
    } finally {
      this.#reads.delete(reading)
    }
  }

  /** Resolves once every read that is under way now has ended. Those that begin meanwhile do not count. */
  async ended(): Promise<void> {
    // Each read reports its error to its caller.
    await Promise.allSettled(this.#reads)
  }
}
