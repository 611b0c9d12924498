import type { Clock } from '../util/clock.ts'
import { SteadyClock } from '../util/steady-clock.ts'

/**
 * The moments at which statements reach this member. They are noted for good, and ages are counted from them. A clock
 * that is behind for a while, as that of a machine without a battery is until it finds the network, would make what
 * arrives meanwhile look old once it is set. So no moment is before the last one, until the clock has run evenly for so
 * long that the last one must have been wrong.
 */
export class Arrivals {
  readonly #clock: Clock
  readonly #steady: SteadyClock
  #lastMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#steady = new SteadyClock(clock)
  }

  /** Returns the moment of a statement that arrives now, in whole ms since the Unix epoch. */
  now(): number {
    const nowMs = Math.max(0, Math.floor(this.#clock.now()))
    if (this.#steady.isSteady() || nowMs > this.#lastMs) this.#lastMs = nowMs
    return this.#lastMs
  }

  /** Notes a moment from before the start. */
  load(lastMs: number): void {
    this.#lastMs = Math.max(this.#lastMs, lastMs)
  }
}
