import { FUTURE_MS_MAX } from '../format/constants.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { CLOCK_CHECK_MS, CLOCK_RECHECK_MS, CLOCK_WITNESSES_MIN } from './constants.ts'
import { ClockOffError } from './errors.ts'
import type { Admission } from './joining/peer-machine.ts'

export interface ClockCheckOptions {
  clock: Clock
  log: Logger
  admissions: () => readonly Admission[]
  /** Asks every admitted member for the time. */
  measure: (signal: AbortSignal) => Promise<void>
}

/**
 * Compares our clock with the clocks of the admitted members: at regular intervals, and when a member refuses a stamp
 * of ours.
 */
export class ClockCheck {
  readonly worker: Worker
  readonly #options: ClockCheckOptions
  /** When we last asked because of a refused stamp; monotonic time. */
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: ClockCheckOptions) {
    this.#options = options
    const { clock, log } = options
    this.worker = new Worker({
      name: 'clock check',
      clock,
      log,
      everyMs: CLOCK_CHECK_MS,
      work: signal => options.measure(signal)
    })
  }

  /** True if the clocks of more than half of the admitted members, and of at least two, differ from ours by minutes. */
  get isOff(): boolean {
    const admissions = this.#options.admissions()
    const off = admissions.filter(({ aheadMs }) => Math.abs(aheadMs) > FUTURE_MS_MAX).length
    return off >= CLOCK_WITNESSES_MIN && off > admissions.length / 2
  }

  /** The error that says that our clock is off; undefined if it is not. */
  get error(): ClockOffError | undefined {
    if (!this.isOff) return undefined
    return new ClockOffError(
      "this machine's clock is more than 5 minutes off from most members': set it, then try again"
    )
  }

  /** Asks the others for the time now, unless we did so a short while ago. */
  askSoon(): void {
    const { clock, log } = this.#options
    const nowMs = clock.monotonic()
    if (nowMs - this.#askedAtMs < CLOCK_RECHECK_MS) return
    log('a member refused a stamp of ours: asking all for the time')
    this.#askedAtMs = nowMs
    this.worker.wake()
  }
}
