import type { Clock } from '../../util/clock.ts'
import { withDeadline } from '../../util/deadline.ts'
import { DeadlineError } from '../../util/errors.ts'
import type { ComponentLogger, Logger } from '../../util/logger.ts'
import { CATCH_UP_MS } from '../constants.ts'
import { EvictRefusedError } from '../errors.ts'
import type { ReadRepair } from './read-repair.ts'
import type { Repair } from './repair.ts'

export interface EvictGuardOptions {
  clock: Clock
  logger: ComponentLogger
  repair: Pick<Repair, 'caughtUp'>
  readRepair: Pick<ReadRepair, 'settled'>
  /** Returns false while it is not certain which blocks are needed. */
  mayFree: () => boolean
}

/** Decides whether this member may evict anything at the moment. */
export class EvictGuard {
  readonly #options: EvictGuardOptions
  readonly #log: Logger
  /** Until this time of the monotonic clock, every evict is refused. */
  #refusedUntilAtMs = Number.NEGATIVE_INFINITY

  constructor(options: EvictGuardOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:evict')
  }

  /** Refuses evicts for as long as a promise that this member made before it stopped may last. */
  notePromised(promisedMs: number): void {
    this.#refusedUntilAtMs = this.#options.clock.monotonic() + promisedMs
  }

  /** How long evicts are still refused because of those promises, in milliseconds. */
  get promisedMs(): number {
    return Math.max(0, this.#refusedUntilAtMs - this.#options.clock.monotonic())
  }

  /**
   * Throws an `EvictRefusedError` if this member may not evict now. First waits some time for the walks of records that
   * have just arrived.
   */
  async assertMayEvict(signal: AbortSignal | undefined): Promise<void> {
    const { clock, mayFree } = this.#options
    if (clock.monotonic() < this.#refusedUntilAtMs)
      throw new EvictRefusedError(
        'this node no longer knows what it promised to other members before its last stop: try again in an hour'
      )
    await this.#caughtUp(signal)
    if (!mayFree())
      throw new EvictRefusedError('this node does not know yet which records need its blocks: try again later')
  }

  /** Waits until blocks that have just been stored or read are claimed by their records. */
  async #caughtUp(signal: AbortSignal | undefined): Promise<void> {
    const { clock, repair, readRepair } = this.#options
    await withDeadline(clock, CATCH_UP_MS, signal, async () => {
      await readRepair.settled()
      await repair.caughtUp()
    }).catch(error => {
      if (!(error instanceof DeadlineError)) throw error
      this.#log('not all records that have just come were walked within %d ms', CATCH_UP_MS)
    })
  }
}
