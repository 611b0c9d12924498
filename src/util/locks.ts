/**
 * One holder a key at a time, the rest in the order they came. Keys that nobody holds cost nothing.
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
