/** How many slots some work takes, and what ends the wait for them. */
export interface LimitOptions {
  slots?: number | undefined
  signal?: AbortSignal | undefined
}

/**
 * Lets callers hold at most `slots` slots in total. Other callers wait in the order in which they came. It bounds what
 * is in flight, such as blocks, bytes or calls. A holder may take several slots, for example one for each byte. A
 * request for more slots than exist takes all of them.
 */
export class Limiter {
  readonly #slots: number
  #taken = 0
  readonly #waiting: Array<{ slots: number; grant: () => void }> = []

  constructor(slots: number) {
    this.#slots = slots
  }

  get taken(): number {
    return this.#taken
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Waits for `slots`. The returned function releases them, and may be called more than once. */
  async acquire(slots = 1, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    const wanted = Math.min(slots, this.#slots)
    if (this.#waiting.length === 0 && this.#taken + wanted <= this.#slots) {
      this.#taken += wanted
      return this.#releaser(wanted)
    }
    await new Promise<void>((resolve, reject) => {
      const entry = {
        slots: wanted,
        grant: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        }
      }
      const onAbort = (): void => {
        const index = this.#waiting.indexOf(entry)
        if (index >= 0) this.#waiting.splice(index, 1)
        reject(signal?.reason)
        this.#admit()
      }
      this.#waiting.push(entry)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
    return this.#releaser(wanted)
  }

  /** Runs `work` while it holds one slot, or several. */
  async run<T>(work: () => Promise<T>, { slots = 1, signal }: LimitOptions = {}): Promise<T> {
    const release = await this.acquire(slots, signal)
    try {
      return await work()
    } finally {
      release()
    }
  }

  #releaser(slots: number): () => void {
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#taken -= slots
      this.#admit()
    }
  }

  #admit(): void {
    for (;;) {
      const next = this.#waiting[0]
      if (next === undefined || this.#taken + next.slots > this.#slots) return
      this.#waiting.shift()
      this.#taken += next.slots
      next.grant()
    }
  }
}
