import type { Clock } from './clock.ts'

/**
 * How long the wall clock must have run evenly before it is believed. A clock that is wrong at a start is usually set
 * within minutes.
 */
export const CLOCK_STANDS_MS = 60 * 60_000
/** A change of the difference between the wall clock and the monotonic clock by more than this is a jump. */
const CLOCK_JUMP_MS = 5 * 60_000

/**
 * Says whether the wall clock has run evenly for so long that what depends on its time may be decided: a clock that is
 * years off is nearly always wrong right after a start, and is soon set. A machine that wakes from sleep looks like one
 * whose clock has jumped, so it waits as well.
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
