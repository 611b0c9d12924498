import type { Clock } from '../../util/clock.ts'

/**
 * Calls back when a peer has given no sign of life for too long while a caller waits for it. A slow peer that still
 * answers or pulls is not silent. The timer runs only while a caller waits.
 */
export class IdleTimer {
  readonly #clock: Clock
  readonly #silenceMs: number
  readonly #onSilent: () => void
  #waiting = 0
  #lastSignAtMs = 0
  #cancel: (() => void) | undefined

  constructor(clock: Clock, silenceMs: number, onSilent: () => void) {
    this.#clock = clock
    this.#silenceMs = silenceMs
    this.#onSilent = onSilent
  }

  /**
   * Notes that a caller begins to wait for the peer. The caller must call the returned function when the wait is over.
   */
  begin(): () => void {
    if (this.#waiting++ === 0) {
      this.#lastSignAtMs = this.#clock.monotonic()
      this.#watch(this.#silenceMs)
    }
    return () => {
      if (--this.#waiting > 0) return
      this.#cancel?.()
      this.#cancel = undefined
    }
  }

  /** The number of callers that wait for the peer. */
  get waitingCount(): number {
    return this.#waiting
  }

  /** Notes a sign of life: the peer answered, asked for something or pulled something. */
  noteActivity(): void {
    this.#lastSignAtMs = this.#clock.monotonic()
  }

  #watch(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => {
      const leftMs = this.#lastSignAtMs + this.#silenceMs - this.#clock.monotonic()
      if (leftMs > 0) {
        this.#watch(leftMs)
        return
      }
      this.#cancel = undefined
      this.#onSilent()
    })
  }
}
