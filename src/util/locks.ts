/**
 * Locks by key: one holder per key at a time, the others in the order in which they came. A key that nobody holds takes no
 * memory.
 */
export class KeyedLocks {
  readonly #tails = new Map<string, Promise<void>>()

  get held(): number {
    return this.#tails.size
  }

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key)
    const { promise: tail, resolve: release } = Promise.withResolvers<void>()
    this.#tails.set(key, tail)
    try {
      if (before !== undefined) await before
      return await work()
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
      release()
    }
  }
}
