import type { Clock } from '../util/clock.ts'
import { CALL_TICK_MS } from './constants.ts'

/**
 * Checks at regular intervals whether a wait has become too long. It uses a single timer, which runs only while
 * something waits.
 */
export class StallTimer {
  readonly #clock: Clock
  readonly #check: () => boolean
  #cancel: (() => void) | undefined

  /** `check` returns true if it must be called again. */
  constructor(clock: Clock, check: () => boolean) {
    this.#clock = clock
    this.#check = check
  }

  /** Starts checking. Has no effect if it has already started. */
  start(): void {
    this.#cancel ??= this.#clock.after(CALL_TICK_MS, () => {
      this.#cancel = undefined
      if (this.#check()) this.start()
    })
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
