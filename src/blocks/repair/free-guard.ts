import type { Clock } from '../../util/clock.ts'
import { withDeadline } from '../../util/deadline.ts'
import { DeadlineError } from '../../util/errors.ts'
import type { ComponentLogger, Logger } from '../../util/logger.ts'
import { roughDuration } from '../../util/rough-duration.ts'
import { EvictRefusedError } from '../errors.ts'
import { CATCH_UP_MS } from './constants.ts'

export interface FreeGuardOptions {
  clock: Clock
  logger: ComponentLogger
  /** Resolves once the blocks that have just been stored or read are claimed by their records. */
  caughtUp: () => Promise<void>
  /** Returns false while it is not certain which blocks are needed. */
  mayFree: () => boolean
}

/** Decides whether this member may free copies that records need, as an evict does, at the moment. */
export class FreeGuard {
  readonly #options: FreeGuardOptions
  readonly #log: Logger
  /** Until this time of the monotonic clock, no copies may be freed. */
  #refusedUntilAtMs = Number.NEGATIVE_INFINITY

  constructor(options: FreeGuardOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:free')
  }

  /** Forbids freeing copies for as long as promises that this member made before its last stop may last. */
  notePromised(promisedMs: number): void {
    this.#refusedUntilAtMs = this.#options.clock.monotonic() + promisedMs
  }

  /** How long no copies may be freed because of those promises, in milliseconds. */
  get promisedMs(): number {
    return Math.max(0, this.#refusedUntilAtMs - this.#options.clock.monotonic())
  }

  get mayFreeCopies(): boolean {
    return this.promisedMs === 0 && this.#options.mayFree()
  }

  /**
   * Throws an `EvictRefusedError` if this member may not evict now. First waits some time for the walks of records that
   * have just arrived.
   */
  async assertMayEvict(signal: AbortSignal | undefined): Promise<void> {
    const { mayFree } = this.#options
    if (this.promisedMs > 0)
      throw new EvictRefusedError(
        `this node no longer knows what it promised to other members before its last stop: try again in ${roughDuration(this.promisedMs)}`
      )
    await this.#caughtUp(signal)
    if (!mayFree())
      throw new EvictRefusedError('this node does not know yet which records need its blocks: try again later')
  }

  async #caughtUp(signal: AbortSignal | undefined): Promise<void> {
    const { clock, caughtUp } = this.#options
    await withDeadline(clock, CATCH_UP_MS, signal, caughtUp).catch(error => {
      if (!(error instanceof DeadlineError)) throw error
      this.#log('not all records that have just arrived were walked within %d ms', CATCH_UP_MS)
    })
  }
}
