import type { Clock } from '../util/clock.ts'
import { CALL_TICK_MS } from './constants.ts'

/** Checks from time to time whether a wait has become too long. It has one timer, and only while something waits. */
export class StallTimer {
  readonly #clock: Clock
  readonly #check: () => boolean
  #cancel: (() => void) | undefined

  /** `check` returns whether to check again. */
  constructor(clock: Clock, check: () => boolean) {
    this.#clock = clock
    this.#check = check
  }

  /** Begins to check. Has no effect if it does so already. */
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
