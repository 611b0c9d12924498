/**
 * Locks by key. Each key has one holder at a time, and other callers wait for the key in the order in which they came.
 * A key that nobody holds takes no memory.
 */
export class KeyedLocks {
  readonly #tails = new Map<string, Promise<void>>()

  /** The number of keys that are held. */
  get held(): number {
    return this.#tails.size
  }

  /** Returns true while somebody has the key. If it is false, `run` begins its work at once. */
  isHeld(key: string): boolean {
    return this.#tails.has(key)
  }

  /**
   * Waits for the key, runs `work` while holding it, and settles like `work`. `work` must not ask for the same key
   * again.
   */
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
