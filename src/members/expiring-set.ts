import type { Clock } from '../util/clock.ts'

export interface ExpiringSetOptions<T> {
  clock: Clock
  /** How long an item stays in the set. */
  lifetimeMs: number
  /** The number of items that the set may hold. When it is full, the item that was added longest ago is removed. */
  max?: number
  /** Called when an item expires, but not when it is removed in any other way. */
  onExpired?: (item: T) => void
}

/** A set that removes each item some time after the item was last added. */
export class ExpiringSet<T> {
  readonly #options: ExpiringSetOptions<T>
  readonly #cancels = new Map<T, () => void>()

  constructor(options: ExpiringSetOptions<T>) {
    this.#options = options
  }

  get size(): number {
    return this.#cancels.size
  }

  has(item: T): boolean {
    return this.#cancels.has(item)
  }

  /** Adds an item. If the item is already in the set, its lifetime starts again. */
  add(item: T): void {
    const { clock, lifetimeMs, max = Number.POSITIVE_INFINITY, onExpired } = this.#options
    this.delete(item)
    const [oldest] = this.#cancels.keys()
    if (oldest !== undefined && this.#cancels.size >= max) this.delete(oldest)
    const cancel = clock.after(lifetimeMs, () => {
      this.#cancels.delete(item)
      onExpired?.(item)
    })
    this.#cancels.set(item, cancel)
  }

  delete(item: T): void {
    this.#cancels.get(item)?.()
    this.#cancels.delete(item)
  }

  clear(): void {
    for (const cancel of this.#cancels.values()) cancel()
    this.#cancels.clear()
  }
}
