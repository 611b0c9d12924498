import type { Clock } from '../../util/clock.ts'

/**
 * Tells when a peer that is waited for has given no sign of life for too long. A slow one that moves is not silent. One
 * timer, and only while somebody waits.
 */
export class IdleTimer {
  readonly #clock: Clock
  readonly #silenceMs: number
  readonly #onSilent: () => void
  #waiting = 0
  #lastSignMs = 0
  #cancel: (() => void) | undefined

  constructor(clock: Clock, silenceMs: number, onSilent: () => void) {
    this.#clock = clock
    this.#silenceMs = silenceMs
    this.#onSilent = onSilent
  }

  /** Somebody begins to wait for the peer; the returned function is called when the wait is over. */
  begin(): () => void {
    if (this.#waiting++ === 0) {
      this.#lastSignMs = this.#clock.monotonic()
      this.#watch(this.#silenceMs)
    }
    return () => {
      if (--this.#waiting > 0) return
      this.#cancel?.()
      this.#cancel = undefined
    }
  }

  /** The peer answered, asked or pulled something. */
  noteActivity(): void {
    this.#lastSignMs = this.#clock.monotonic()
  }

  #watch(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => {
      const left = this.#lastSignMs + this.#silenceMs - this.#clock.monotonic()
      if (left > 0) {
        this.#watch(left)
        return
      }
      this.#cancel = undefined
      this.#onSilent()
    })
  }
}
