import type { Clock } from '../../util/clock.ts'
import { REST_BUSY, REST_IDLE } from './constants.ts'

export interface PaceOptions {
  clock: Pick<Clock, 'monotonic' | 'sleep'>
  /** Returns true while this member works for somebody who waits: a put or a read. */
  isBusy: () => boolean
}

/** Lets background work rest after each step, for longer while somebody waits for this member. */
export class Pace {
  readonly #options: PaceOptions

  constructor(options: PaceOptions) {
    this.#options = options
  }

  /**
   * Runs one step and rests after it. `work` returns true if it spent its time waiting for other members, so that it
   * needs no rest as long as nobody waits.
   */
  async run(work: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    const { clock, isBusy } = this.#options
    const beganAtMs = clock.monotonic()
    const hasWaited = await work()
    const workedMs = clock.monotonic() - beganAtMs
    const restMs = workedMs * (isBusy() ? REST_BUSY : hasWaited ? 0 : REST_IDLE)
    if (restMs > 0) await clock.sleep(restMs, signal)
  }
}
