import { DeadlineError } from '../../util/errors.ts'
import { Limiter } from '../../util/limiter.ts'
import type { RecordRef } from '../record-ref.ts'
import type { BlockCheck, Checked } from './check.ts'
import type { CopyFreer, Freed } from './copy-freer.ts'
import type { FreeGuard } from './free-guard.ts'
import type { FreeablePlan, FreePlanner, Sum } from './free-planner.ts'
import type { Freer } from './freer.ts'
import type { HeldBlock } from './inventory.ts'
import type { PutEnds, PutsUntil } from './put-ends.ts'
import type { Releaser } from './releaser.ts'
import type { RoomMaker } from './room-maker.ts'
import { type Stay, type StaysOptions, whyStays } from './stays.ts'
import type { Surplus, SurplusLeft } from './surplus.ts'
import type { Sweeper } from './sweep.ts'

export interface FreeingOptions extends Omit<StaysOptions, 'guard' | 'surplus' | 'putEnds'> {
  guard: FreeGuard
  freer: Freer
  copyFreer: CopyFreer
  releaser: Releaser
  sweeper: Sweeper
  surplus: Surplus
  putEnds: PutEnds
  roomMaker: Pick<RoomMaker, 'endOver'>
  planner: FreePlanner
  check: BlockCheck
  /** Yields every block here, and why it stays. */
  inventory: (signal?: AbortSignal) => AsyncGenerator<HeldBlock>
}

/** The most runs that callers may have under way at once. Runs take turns in any case. */
const RUNS_MAX = 8
const NOTHING_LEFT: SurplusLeft = { records: 0, blocks: 0, bytes: 0 }

/** The ways in which other rooms get space back. Only the `Freer` removes blocks. */
export class Freeing {
  readonly #options: FreeingOptions
  readonly #stopped = new AbortController()
  readonly #running = new Limiter(RUNS_MAX)

  constructor(options: FreeingOptions) {
    this.#options = options
  }

  /** Ends what callers have begun, and resolves once it has ended. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running.acquire(RUNS_MAX)
  }

  /** Frees soon what was released. Call it after a batch that has the changes of `Blocks.releaseOps`. */
  wake(): void {
    this.#options.releaser.worker.wake()
  }

  /** Says what `run` would free now, and changes nothing. */
  plan(signal?: AbortSignal): Promise<FreeablePlan> {
    return this.#options.planner.plan(signal)
  }

  /** Says why blocks would stay if `run` ran now, as far as that is known before. */
  stays(signal?: AbortSignal): Promise<Stay[]> {
    return whyStays(this.#options, NOTHING_LEFT, signal)
  }

  /**
   * Frees now, without rests, what would be freed in time: what was released, what ended puts left, and the surplus whose
   * owners prove their copies. Also frees what puts left that are over, although they could be repeated. Returns what was
   * freed meanwhile, by this or by a worker, and why the rest stays.
   */
  async run(signal?: AbortSignal): Promise<Sum & { stays: Stay[] }> {
    const { freer, releaser, sweeper, roomMaker, surplus } = this.#options
    const before = freer.freed
    let hasCaughtUp = true
    let left = NOTHING_LEFT
    await this.#begin(signal, async both => {
      await sweeper.run(both)
      await roomMaker.endOver(both).catch(error => {
        if (!(error instanceof DeadlineError)) throw error
        hasCaughtUp = false
      })
      await releaser.run(both)
      left = await surplus.run(both)
    })
    const after = freer.freed
    const stays = await whyStays(this.#options, left, signal)
    if (!hasCaughtUp && this.isCertain) stays.unshift({ reason: 'uncertain' })
    return { blocks: after.blocks - before.blocks, bytes: after.bytes - before.bytes, stays }
  }

  /**
   * Frees those of this member's copies of a file for which other members prove that they hold theirs. Throws an
   * `EvictRefusedError` while it is not certain which records need the copies, and after a stop while promises to other
   * members may last, which is an hour at most.
   * Counts in `result` what it has done, even if it fails half-way.
   */
  async evict(record: RecordRef, signal?: AbortSignal, result?: Freed): Promise<Freed> {
    const { guard, copyFreer } = this.#options
    await guard.assertMayEvict(signal)
    return copyFreer.free(record, 'evict', signal, result)
  }

  /** Compares why blocks stay with the log and the manifests, and puts right what differs. See `BlockCheck`. */
  check(readData: boolean, signal?: AbortSignal): Promise<Checked> {
    return this.#begin(signal, both => this.#options.check.run({ readData, signal: both }))
  }

  /** Yields every block here, and why it stays. */
  inventory(signal?: AbortSignal): AsyncGenerator<HeldBlock> {
    return this.#options.inventory(signal)
  }

  /** Says until when the claims of puts last here. */
  putsUntil(signal?: AbortSignal): Promise<PutsUntil> {
    return this.#options.putEnds.until(signal)
  }

  /** Runs work, and aborts it when the node stops. */
  async #begin<T>(signal: AbortSignal | undefined, work: (both: AbortSignal) => Promise<T>): Promise<T> {
    const both = AbortSignal.any([this.#stopped.signal, ...(signal === undefined ? [] : [signal])])
    const result = await this.#running.run(() => work(both), { signal: both })
    both.throwIfAborted()
    return result
  }

  /** False while it is not certain which blocks are needed, so that nothing is freed. */
  get isCertain(): boolean {
    return this.#options.mayFree()
  }

  /** True while there may be blocks that nothing claims, because a stop was unclean. They are freed later. */
  get mayHaveOrphans(): boolean {
    return this.#options.sweeper.mayHaveOrphans
  }

  /** The released manifest nodes that stay, with all that only they claim, because nobody could deliver them. */
  get unreadableNodes(): number {
    return this.#options.releaser.unreadableNodes
  }
}
