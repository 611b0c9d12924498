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

  /** Returns true while somebody has the key. While it is false, the next caller gets the key at once. */
  isHeld(key: string): boolean {
    return this.#tails.has(key)
  }

  /**
   * Waits for the key, runs `work` while holding it, and settles like `work`. `work` must not ask for the same key
   * again.
   */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.runAll([key], work)
  }

  /** Does the same with several keys. It joins all their lines at the same moment, so it never causes a deadlock. */
  async runAll<T>(keys: Iterable<string>, work: () => Promise<T>): Promise<T> {
    const places = [...new Set(keys)].map(key => this.take(key))
    try {
      for (const { before } of places) if (before !== undefined) await before
      return await work()
    } finally {
      for (const { release } of places) release()
    }
  }

  /**
   * Joins the line for the key. The caller holds the key once `before` resolves, or at once if there is no `before`.
   */
  take(key: string): { before: Promise<void> | undefined; release: () => void } {
    const before = this.#tails.get(key)
    const { promise: tail, resolve } = Promise.withResolvers<void>()
    this.#tails.set(key, tail)
    const release = (): void => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
      resolve()
    }
    return { before, release }
  }
}
