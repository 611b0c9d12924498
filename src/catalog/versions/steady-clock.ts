import type { Clock } from '../../util/clock.ts'
import { CLOCK_JUMP_MS, CLOCK_STANDS_MS } from '../constants.ts'

/**
 * Says whether the wall clock may end anything. Versions end after days, so it does no harm to wait until the clock has
 * run evenly for a while: a clock that is years off is nearly always so right after a start, and is then set. A machine
 * that sleeps looks the same as a clock that jumps, and waits as well.
 */
export class SteadyClock {
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>
  /** How far the wall clock was ahead of the monotonic clock at the last look. */
  #offsetMs: number
  #steadySinceMs: number

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#clock = clock
    this.#offsetMs = clock.now() - clock.monotonic()
    this.#steadySinceMs = clock.monotonic()
  }

  /** Looks at the clock, and returns true if it has been steady for long enough. */
  isSteady(): boolean {
    const monotonic = this.#clock.monotonic()
    const offsetMs = this.#clock.now() - monotonic
    if (Math.abs(offsetMs - this.#offsetMs) > CLOCK_JUMP_MS) this.#steadySinceMs = monotonic
    this.#offsetMs = offsetMs
    return monotonic - this.#steadySinceMs >= CLOCK_STANDS_MS
  }
}
