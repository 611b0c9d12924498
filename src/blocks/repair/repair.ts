import type { IndexOp } from '../../disk/index-db.ts'
import type { BlockCid } from '../../format/cid.ts'
import { BLOCK_BYTES_MAX } from '../../format/constants.ts'
import type { View } from '../../members/view.ts'
import { Batcher } from '../../util/batcher.ts'
import { fromHex } from '../../util/bytes.ts'
import { isAbort } from '../../util/errors.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import type { Worker } from '../../util/worker.ts'
import type { Referrers } from '../hold/reference-lookup.ts'
import { releasedBlockOp } from '../hold/release-rows.ts'
import { nameOf, nameOfId } from '../log-names.ts'
import type { RecordRef } from '../record-ref.ts'
import type { AtRisk } from './at-risk.ts'
import { RepairBackground, type WalkOptions } from './background.ts'
import { EVICTED_MS } from './constants.ts'
import { EvictedBlocks } from './evicted-blocks.ts'
import { FreeStops, type IncompleteRecords } from './free-stops.ts'
import { mostWanting, recordToWalk } from './needing-record.ts'
import { RepairQueue } from './queue.ts'
import { recordReferenceOps } from './record-rows.ts'
import type { Surplus } from './surplus.ts'
import { UnfinishedRecords } from './unfinished-records.ts'
import { ViewRound } from './view-round.ts'
import { isMissing, type WalkOutcome } from './walk-outcome.ts'
import { RecordWalker, type RecordWalkerOptions } from './walker.ts'

/** How often to look whether another walk of a record has ended. */
const WALK_WAIT_MS = 50

/** The needs of the walks, and the facts that decide when records are walked. */
export interface RepairOptions extends Omit<RecordWalkerOptions, 'evicted' | 'write'> {
  view: () => View
  /** Yields every record that has blocks and whose id is greater than `after`, in the order of the ids. */
  records: (after: Uint8Array) => AsyncIterable<RecordRef>
  /** Yields the records that the log has set aside. */
  asides: () => AsyncIterable<RecordRef>
  /** Returns true while this member works for somebody who waits. */
  isBusy: () => boolean
  surplus: Pick<Surplus, 'noteOps'>
  atRisk: Pick<AtRisk, 'beginRound' | 'noteHere' | 'retry'>
}

/**
 * Brings the blocks here that this member owes. A new record is walked at once (`RepairQueue`), all other walks happen in
 * the background (`RepairBackground`). The work that is left is in the index (`UnfinishedRecords`). It frees nothing: the
 * `Freer` does that, and asks here whether it is certain which blocks are needed.
 */
export class Repair {
  readonly #options: RepairOptions
  readonly #log: Logger
  readonly #walker: RecordWalker
  readonly #evicted: EvictedBlocks
  readonly #stops: FreeStops
  readonly #unfinished: UnfinishedRecords
  readonly #queue: RepairQueue
  readonly #background: RepairBackground
  readonly #round: ViewRound
  readonly #ops: Batcher<readonly IndexOp[], null>
  readonly #stopped = new AbortController()

  constructor(options: RepairOptions) {
    const { clock, logger, index, codec, records, view, atRisk, isBusy, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:repair')
    this.#ops = new Batcher<readonly IndexOp[], null>(
      async groups => {
        await index.batch(groups.flat())
        return groups.map(() => null)
      },
      { itemsMax: 1024 }
    )
    const write = async (ops: readonly IndexOp[]): Promise<void> => void (ops.length > 0 && (await this.#ops.add(ops)))
    this.#evicted = new EvictedBlocks(index)
    this.#stops = new FreeStops({ index, clock })
    const onMended = (record: RecordRef): void => {
      this.#log('record %s: nothing is missing any more', nameOfId(record.id))
      this.#background.noteHelped()
    }
    this.#unfinished = new UnfinishedRecords({ index, clock, codec, stops: this.#stops, onMended, write })
    this.#round = new ViewRound(index, clock)
    this.#walker = new RecordWalker({ ...options, evicted: this.#evicted, write })
    this.#queue = new RepairQueue({
      clock,
      walk: record => this.#walkNew(record),
      onNoRoom: () => this.#background.noteDropped()
    })
    this.#background = new RepairBackground({
      clock,
      logger,
      unfinished: this.#unfinished,
      stops: this.#stops,
      round: this.#round,
      view,
      walk: (record, options) => this.#walk(record, options),
      onRound: (before, now) => atRisk.beginRound(before, now),
      isQueued: record => this.#queue.has(record),
      records,
      claimAsides: () => this.#claimAsides(),
      isBusy,
      onError
    })
  }

  get worker(): Worker {
    return this.#background.worker
  }

  /** Walks records that have just been accepted. */
  enqueue(records: readonly RecordRef[]): void {
    for (const record of records) this.#queue.add(record)
  }

  /**
   * Resumes the work that was unfinished at the last stop. After an unclean stop, every record is walked once more in
   * the background.
   */
  async start({ wasClean }: { wasClean: boolean }): Promise<void> {
    await this.#stops.load()
    await this.#unfinished.load()
    await this.#round.load({ fromStart: !wasClean })
    this.#background.start()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#background.stop()
    await this.#queue.stop()
    await this.#ops.settled()
  }

  /** Immediately walks the records that have missing blocks. Call it when a member connects or the view changes. */
  retry(): void {
    this.#background.retry()
    this.#options.atRisk.retry()
  }

  /** Resolves once every record that has been accepted so far has been walked. */
  async caughtUp(): Promise<void> {
    await this.#background.settled
    await this.#queue.caughtUp()
  }

  /**
   * False while there may be blocks here that a record needs and that nothing claims yet, because the record has not
   * been walked or a node of its manifest cannot be obtained. During that time nothing may be freed.
   */
  get isCertain(): boolean {
    return this.#background.isCertain && !this.#queue.isLate
  }

  /** True once every record has been walked since the last unclean stop, and under the present view. */
  get hasWalkedAll(): boolean {
    return this.#round.isDone
  }

  /** The authors of records that have a manifest node which cannot be obtained. */
  get incomplete(): IncompleteRecords[] {
    return this.#stops.incomplete
  }

  /** The blocks that this member owes and lacks. `bytes` is an upper bound, since a sealed block hides its size. */
  get owed(): { blocks: number; bytes: number } {
    const { missingBlocks } = this.#unfinished
    return { blocks: missingBlocks, bytes: missingBlocks * BLOCK_BYTES_MAX }
  }

  /** The chunks that this member owes and that no member had when it asked, for `LOST_AFTER_MS` or more. */
  get lostChunks(): number {
    return this.#background.lostChunks
  }

  /** The blocks that are being pulled at this moment. `bytes` is an upper bound. */
  get repairing(): { blocks: number; bytes: number } {
    const { pulling } = this.#walker
    return { blocks: pulling, bytes: pulling * BLOCK_BYTES_MAX }
  }

  /**
   * Notes that this member is about to evict a chunk. After `EVICTED_MS`, this member owes the chunk again to each
   * record that needs it and wants a copy here.
   */
  async markEvicted(cid: BlockCid, referrers: Referrers): Promise<void> {
    const owedAgainAtMs = Math.floor(this.#options.clock.now() + EVICTED_MS)
    await this.#evicted.add(cid, owedAgainAtMs)
    for (const record of referrers.records)
      await this.#walkLater(recordToWalk(cid, record, this.#options), owedAgainAtMs)
  }

  /**
   * Walks the whole of a record now. Returns the number of chunks that were pulled and of claims that were written, and
   * whether blocks are missing.
   */
  async walkNow(record: RecordRef, signal: AbortSignal): Promise<{ mended: number; isMissing: boolean }> {
    let [mended, from] = [0, 0]
    for (;;) {
      while (this.#unfinished.isWalking(record)) await this.#options.clock.sleep(WALK_WAIT_MS, signal)
      signal.throwIfAborted()
      const outcome = await this.#walk(record, { from, isRound: false })
      mended += outcome.pulled + outcome.claimed
      const isStuck = outcome.position <= from && outcome.pulled + outcome.claimed === 0
      if (!outcome.isCut || isStuck) return { mended, isMissing: isMissing(outcome) }
      from = outcome.position
    }
  }

  /** Forgets what was still to be done for a record that was released. Returns false while the record is being walked. */
  async forgetReleased(record: RecordRef): Promise<boolean> {
    if (this.#unfinished.isWalking(record)) return false
    await this.#unfinished.forget(record)
    return true
  }

  /**
   * Returns true while a record that was released during its walk is still being walked. The walk may still claim
   * blocks.
   */
  async isWalkingReleased(): Promise<boolean> {
    const { claims } = this.#options
    for (const id of this.#unfinished.walking) if (await claims.isReleased({ id: fromHex(id) })) return true
    return false
  }

  /** Notes that a block here was found bad. Soon a record that needs it is walked, which pulls it again if it is owed. */
  noteBad(cid: BlockCid): void {
    const { clock } = this.#options
    mostWanting(cid, this.#options)
      .then(async record => record !== undefined && (await this.#walkLater(record, Math.floor(clock.now()))))
      .catch(error => this.#log('could not arrange a walk for the bad block %s: %s', nameOf(cid), reasonOf(error)))
  }

  /** Stores a block read from another member, if a record needs it here. If it was evicted, it is now owed again. */
  async keepIfClaimed(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    const { local, claims } = this.#options
    if (!(await claims.isReferenced(cid.multihash.bytes))) return
    await local.keep(cid, bytes)
    // It may have been released meanwhile. Then the releaser looks at it again.
    if (!(await claims.isReferenced(cid.multihash.bytes))) await this.#ops.add([releasedBlockOp(cid)])
    await this.#evicted.remove([cid])
    this.#log.trace('kept block %s, which was read from another member', nameOf(cid))
  }

  async #walkLater(record: RecordRef, dueAtMs: number): Promise<void> {
    await this.#unfinished.later(record, dueAtMs)
    this.#background.schedule(dueAtMs)
  }

  async #walkNew(record: RecordRef): Promise<void> {
    if (this.#unfinished.isWalking(record)) return this.#background.noteDropped()
    try {
      await this.#walk(record, { from: 0, isRound: false })
    } catch (error) {
      this.#log('record %s: the walk failed: %s', nameOfId(record.id), reasonOf(error))
      // The row of the record is still there, so that the background walks it.
      if (!isAbort(error)) this.#background.noteFailed()
    }
  }

  async #walk(record: RecordRef, { from, isRound }: WalkOptions): Promise<WalkOutcome> {
    const { onError, surplus, atRisk, clock } = this.#options
    const { signal } = this.#stopped
    const onProgress = (outcome: WalkOutcome): Promise<void> => this.#unfinished.noteProgress(record, outcome)
    try {
      const onHere = isRound ? (chunks: readonly BlockCid[]) => atRisk.noteHere(record, chunks) : undefined
      const outcome = await this.#unfinished.walk(record, from, async () => {
        const walked = await this.#walker.walk(record, { from, signal, onHere, onProgress })
        // A walk of only the last chunks says nothing about the earlier ones.
        const surplusOps = from === 0 ? await surplus.noteOps(record, walked.outcome.hasSurplus) : []
        return { ...walked, endOps: [...walked.endOps, ...surplusOps] }
      })
      if (outcome.isCut) {
        this.#background.noteHelped()
        this.#background.schedule(clock.now())
      } else if (isMissing(outcome) || Number.isFinite(outcome.owedAgainAtMs))
        this.#background.schedule(outcome.owedAgainAtMs)
      return outcome
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) onError(error)
      throw error
    }
  }

  /** Has the records that the log has set aside claim their roots. */
  async #claimAsides(): Promise<void> {
    const { asides, claims } = this.#options
    for await (const record of asides())
      if (!(await claims.hasRecord(record)) && !(await claims.isReleased(record)))
        await this.#ops.add(recordReferenceOps(record))
  }
}
