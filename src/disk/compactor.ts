import type { Clock } from '../util/clock.ts'
import { COMPACT_BELOW, COMPACT_INTERVAL_MS } from './constants.ts'
import type { Store } from './store.ts'

export interface CompactorOptions {
  store: Store
  clock: Clock
  onError: (error: unknown) => void
}

/** Gives the room of dead rows back: one segment at a time, with a pause between, so that users hardly notice. */
export class Compactor {
  readonly #options: CompactorOptions
  readonly #stopped = new AbortController()
  #working: Promise<void> = Promise.resolve()

  constructor(options: CompactorOptions) {
    this.#options = options
  }

  start(): void {
    // Only being stopped ends it.
    this.#working = this.#run().catch(() => {})
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#working
  }

  async #run(): Promise<void> {
    const { store, clock, onError } = this.#options
    const { signal } = this.#stopped
    for (;;) {
      await clock.sleep(COMPACT_INTERVAL_MS, signal)
      const [emptiest] = store.compactable(COMPACT_BELOW)
      if (emptiest === undefined) continue
      try {
        await store.compact(emptiest, signal)
      } catch (error) {
        signal.throwIfAborted()
        // A disk that is full or fails now may serve the next time.
        onError(error)
      }
    }
  }
}
