import type { Clock } from '../../util/clock.ts'
import { raceSignal, withDeadline } from '../../util/deadline.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import { CATCH_UP_MS, MAKE_ROOM_MS, SWEEP_MS } from './constants.ts'
import type { PutEnds } from './put-ends.ts'
import type { Releaser } from './releaser.ts'
import type { Sweeper } from './sweep.ts'

export interface RoomMakerOptions {
  clock: Clock
  logger: ComponentLogger
  putEnds: Pick<PutEnds, 'over'>
  sweeper: Pick<Sweeper, 'endPuts'>
  releaser: Pick<Releaser, 'run'>
  /** Resolves once the blocks of the records that have arrived so far are claimed by them. */
  caughtUp: () => Promise<void>
  /** Returns false while it is not certain which blocks are needed. */
  mayFree: () => boolean
  /** Returns true if this member has said to the others that it is full, so that none of them asks it to keep a block. */
  isFull: () => boolean
  onError: (error: unknown) => void
}

/**
 * Makes room on a full disk. It first frees released content, and then the blocks that are claimed only by puts that
 * are over. As long as there is room, these blocks stay until their claims run out, so that a put that is repeated
 * finds them here, or until `gc` is run.
 */
export class RoomMaker {
  readonly worker: Worker
  readonly #options: RoomMakerOptions
  readonly #log: Logger
  readonly #stopped = new AbortController()
  #making: Promise<boolean> | undefined
  /** When it was last tried in vain, by the monotonic clock. */
  #failedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: RoomMakerOptions) {
    const { clock, logger, isFull, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:room')
    this.worker = new Worker({
      name: 'making room',
      clock,
      log: this.#log,
      everyMs: SWEEP_MS,
      onError,
      work: async () => {
        if (isFull()) await this.makeRoom()
      }
    })
  }

  /** Resolves to true if blocks were freed, so that it is worth trying again to store one. Never rejects. */
  makeRoom(): Promise<boolean> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined
    })
    return this.#making
  }

  /** Ends the search that is under way, if any. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.worker.stop()
    await this.#making
  }

  async #make(): Promise<boolean> {
    const { clock } = this.#options
    // Many blocks may ask at the same time, and each search looks at the claims of all puts.
    if (this.#stopped.signal.aborted || clock.monotonic() - this.#failedAtMs < MAKE_ROOM_MS) return false
    let freedCount = 0
    try {
      freedCount = await this.#free(this.#stopped.signal)
    } catch (error) {
      this.#log('could not make room: %s', reasonOf(error))
    }
    if (freedCount === 0) this.#failedAtMs = clock.monotonic()
    return freedCount > 0
  }

  async #free(signal: AbortSignal): Promise<number> {
    const { releaser, mayFree } = this.#options
    if (!mayFree()) return 0
    const { freedBlocks } = await releaser.run(signal)
    return freedBlocks > 0 ? freedBlocks : this.endOver(signal)
  }

  /**
   * Ends the claims of the puts that are over, and returns the number of blocks that this freed. Throws a
   * `DeadlineError` if the records that have just arrived are not walked in time.
   */
  async endOver(signal: AbortSignal): Promise<number> {
    const { clock, putEnds, sweeper, caughtUp, mayFree } = this.#options
    if (!mayFree()) return 0
    const over = await putEnds.over(signal)
    if (over.size === 0) return 0
    // A put may have ended with a record a moment ago. Its blocks must be claimed by the record before the claims of the
    // put end. A put that was over when we looked cannot bring another record.
    await withDeadline(clock, CATCH_UP_MS, signal, caught => raceSignal(caughtUp(), caught))
    const freedCount = await sweeper.endPuts(over, signal)
    this.#log('puts that are over: %d, blocks freed: %d', over.size, freedCount)
    return freedCount
  }
}
