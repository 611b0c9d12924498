import type { Clock } from '../util/clock.ts'
import { CALL_TICK_MS } from './constants.ts'

/** Looks from time to time whether a wait has become too long: one timer, and only while there is something to wait for. */
export class StallTimer {
  readonly #clock: Clock
  readonly #look: () => boolean
  #cancel: (() => void) | undefined

  /** `look` says whether to go on looking. */
  constructor(clock: Clock, look: () => boolean) {
    this.#clock = clock
    this.#look = look
  }

  /** Begins to look; that it does already is no harm. */
  start(): void {
    this.#cancel ??= this.#clock.after(CALL_TICK_MS, () => {
      this.#cancel = undefined
      if (this.#look()) this.start()
    })
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
