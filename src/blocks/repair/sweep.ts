import { cidOfMultihash } from '../../format/cid.ts'
import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import type { ComponentLogger, Logger } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import { type Claims, type ExpiredClaim, type PutId, timeOfExpiry } from '../hold/claims.ts'
import type { Holds } from '../hold/holds.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { releasedBlockOp } from '../hold/release-rows.ts'
import { CLAIM_GRACE_MS, ORPHANS_PAUSE_BLOCKS, SWEEP_BATCH, SWEEP_MS } from './constants.ts'
import type { Freer } from './freer.ts'

export interface SweeperOptions {
  clock: Clock
  logger: ComponentLogger
  claims: Claims
  local: Pick<LocalBlocks, 'all'>
  holds: Pick<Holds, 'sweep'>
  freer: Pick<Freer, 'execute'>
  /**
   * Returns true if the put is one of this member's and is under way. Its claims are not ended, even if they have
   * expired.
   */
  isUnderWay: (put: PutId) => boolean
  /** Returns false while it is not certain which blocks are needed. */
  mayFree: () => boolean
  /**
   * Returns true once all rows of the store were compared with the index and all records were walked, both since the
   * start. Until then, a block without a claim may have one that the index has lost.
   */
  isVerified: () => boolean
  /** Notes that the blocks that nothing claimed have been freed. */
  onOrphansFreed: () => Promise<void>
  onError: (error: unknown) => void
}

/**
 * Ends expired claims of puts, and frees the blocks that nothing claims any more. After an unclean stop, it also looks
 * once at every block, to find those that a crash left without a claim. It does so only when every claim of a put that
 * was made before the stop must have expired, and when everything from which claims are derived has been verified. When
 * in doubt, it keeps a block.
 */
export class Sweeper {
  readonly worker: Worker
  readonly #options: SweeperOptions
  readonly #log: Logger
  #orphansFromAtMs: number | undefined
  /** Puts (hex) whose claims end before their time. */
  readonly #abandoned = new Set<string>()

  constructor(options: SweeperOptions) {
    const { clock, logger, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:sweep')
    this.worker = new Worker({
      name: 'claim sweep',
      clock,
      log: this.#log,
      everyMs: SWEEP_MS,
      onError,
      work: signal => this.#round(signal)
    })
  }

  /**
   * Begins to sweep. `orphansFromAtMs` is the wall-clock time from which blocks that nothing claims may be freed;
   * undefined if there can be none.
   */
  start({ orphansFromAtMs }: { orphansFromAtMs: number | undefined }): void {
    this.#orphansFromAtMs = orphansFromAtMs
    this.worker.start()
  }

  stop(): Promise<void> {
    return this.worker.stop()
  }

  /** Ends the claims that have run out, and frees what only they claimed. */
  run(signal: AbortSignal): Promise<void> {
    return this.#sweepClaims(signal)
  }

  /** Yields the claims that have run out and would be ended now, and all those of puts that are over. */
  async *ended(isOver: (put: PutId) => boolean): AsyncGenerator<ExpiredClaim> {
    const { claims, clock, isUnderWay } = this.#options
    const beforeMs = clock.now() - CLAIM_GRACE_MS
    for await (const claim of claims.expired(Number.POSITIVE_INFINITY)) {
      const hasRunOut = timeOfExpiry(claim.expires) < beforeMs && !isUnderWay(claim.put)
      if (hasRunOut || isOver(claim.put)) yield claim
    }
  }

  /** True while there may be blocks that nothing claims, because a stop was unclean. */
  get mayHaveOrphans(): boolean {
    return this.#orphansFromAtMs !== undefined
  }

  /** When such blocks may be freed, by the wall clock; undefined if there can be none. */
  get orphansFromAtMs(): number | undefined {
    return this.#orphansFromAtMs
  }

  /**
   * Ends the claims of a put of this member soon, and frees the blocks that only they claimed. Call it once the put has
   * ended. If the put was linked after all, its blocks stay, because nothing is freed before its record was walked.
   */
  abandon(put: PutId): void {
    this.#abandoned.add(toHex(put))
    this.worker.wake()
  }

  async #round(signal: AbortSignal): Promise<void> {
    await this.#sweepAbandoned(signal)
    await this.#sweepClaims(signal)
    if (!this.#mayFreeOrphans() || !(await this.#sweepOrphans(signal))) return
    await this.#options.onOrphansFreed()
    this.#orphansFromAtMs = undefined
  }

  #mayFreeOrphans(): boolean {
    const { clock, mayFree, isVerified } = this.#options
    return this.#orphansFromAtMs !== undefined && clock.now() >= this.#orphansFromAtMs && isVerified() && mayFree()
  }

  /**
   * Ends the claims of puts (hex) before their time. Returns the number of blocks that this freed. The puts must have
   * ended, and the records that some of them ended with must have been walked. Stops early if it becomes uncertain which
   * blocks are needed.
   */
  async endPuts(puts: ReadonlySet<string>, signal: AbortSignal): Promise<number> {
    return (await this.#endPuts(puts, signal)).freedCount
  }

  async #endPuts(puts: ReadonlySet<string>, signal: AbortSignal): Promise<{ freedCount: number; isDone: boolean }> {
    const { claims, mayFree } = this.#options
    let freedCount = 0
    for await (const claim of claims.expired(Number.POSITIVE_INFINITY)) {
      if (signal.aborted || !mayFree()) return { freedCount, isDone: false }
      if (puts.has(toHex(claim.put)) && (await this.#end(claim, Number.POSITIVE_INFINITY))) freedCount++
    }
    return { freedCount, isDone: true }
  }

  async #sweepAbandoned(signal: AbortSignal): Promise<void> {
    const puts = new Set(this.#abandoned)
    if (puts.size === 0) return
    const { freedCount, isDone } = await this.#endPuts(puts, signal)
    // The next round goes on with what is left.
    if (!isDone) return
    for (const put of puts) this.#abandoned.delete(put)
    this.#log('puts that were given up: %d, blocks freed: %d', puts.size, freedCount)
  }

  /** Ends the claims that have expired, and frees the blocks that only they claimed. */
  async #sweepClaims(signal: AbortSignal): Promise<void> {
    const { claims, clock, holds, isUnderWay, mayFree } = this.#options
    holds.sweep()
    const beforeMs = clock.now() - CLAIM_GRACE_MS
    let endedCount = 0
    let freedCount = 0
    let batch: ExpiredClaim[] = []
    const endBatch = async (): Promise<void> => {
      const isFreed = await Promise.all(batch.map(claim => this.#end(claim, beforeMs)))
      endedCount += batch.length
      freedCount += isFreed.filter(Boolean).length
      batch = []
    }
    for await (const claim of claims.expired(beforeMs)) {
      if (signal.aborted || !mayFree()) {
        const reason = signal.aborted ? 'the node stops' : 'it is not certain which blocks are needed'
        this.#log('stopped looking at claims, since %s; blocks freed: %d', reason, freedCount)
        return
      }
      if (!isUnderWay(claim.put) && batch.push(claim) === SWEEP_BATCH) await endBatch()
    }
    await endBatch()
    if (endedCount > 0) this.#log('claims that ran out: %d, blocks freed: %d', endedCount, freedCount)
  }

  /**
   * Looks at every block once and frees those that nothing claims. Returns false if the search must be repeated,
   * because it became uncertain which blocks are needed.
   */
  async #sweepOrphans(signal: AbortSignal): Promise<boolean> {
    const { local, mayFree, clock, claims, freer } = this.#options
    let lookedCount = 0
    let freedCount = 0
    for await (const multihash of local.all()) {
      if (++lookedCount % ORPHANS_PAUSE_BLOCKS === 0) await clock.sleep(0, signal)
      if (signal.aborted || !mayFree()) {
        this.#log('stopped looking for blocks that nothing claims; blocks freed: %d', freedCount)
        return false
      }
      if (await claims.isClaimed(multihash)) continue
      const plan = { reason: 'unclaimed', cid: cidOfMultihash(multihash) } as const
      if ((await freer.execute(plan)) === undefined) freedCount++
    }
    this.#log('after an unclean stop: blocks here: %d, freed because nothing claims them: %d', lookedCount, freedCount)
    return true
  }

  async #end(claim: ExpiredClaim, beforeMs: number): Promise<boolean> {
    const { claims, freer } = this.#options
    const cid = cidOfMultihash(claim.multihash)
    // If the block cannot be removed now, for example on a full disk, the releaser comes back to it.
    const endClaim = (): Promise<void> => claims.endExpired(claim, beforeMs, [releasedBlockOp(cid)])
    return (await freer.execute({ reason: 'unclaimed', cid, endClaim })) === undefined
  }
}
