import type { View } from '../../members/view.ts'
import { Backoff } from '../../util/backoff.ts'
import { batchesOf } from '../../util/batches.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import { WALK_RETRY_MS, WALK_RETRY_MS_MAX, WALKS_AT_ONCE } from '../constants.ts'
import { nameOfId } from '../log-names.ts'
import type { RecordRef } from '../record-ref.ts'
import { WALK_OLD_MS, WALKS_PER_STEP } from './constants.ts'
import type { FreeStops } from './free-stops.ts'
import { Pace } from './pace.ts'
import {
  isDue,
  isOld,
  longLacking,
  startOf,
  type UnfinishedRecord,
  type UnfinishedRecords
} from './unfinished-records.ts'
import { isNew, NEW } from './unfinished-row.ts'
import type { ViewRound } from './view-round.ts'
import { isMissing, type WalkOutcome } from './walk-outcome.ts'

export interface RepairBackgroundOptions {
  clock: Clock
  logger: ComponentLogger
  unfinished: UnfinishedRecords
  stops: FreeStops
  round: ViewRound
  view: () => View
  walk: (record: RecordRef, options: WalkOptions) => Promise<WalkOutcome>
  /** Called before records are walked because the view has changed. `before` is the view of the last such round. */
  onRound: (before: View | undefined, now: View) => void
  /** Returns true if a record waits to be walked at once, or is being walked. */
  isQueued: (record: RecordRef) => boolean
  /** Yields every record that has blocks and whose id is greater than `after`, in the order of the ids. */
  records: (after: Uint8Array) => AsyncIterable<RecordRef>
  /** Claims the roots of records that the log has set aside, and marks them as unfinished. */
  claimAsides: () => Promise<void>
  /** Returns true while this member works for somebody who waits. */
  isBusy: () => boolean
  onError: (error: unknown) => void
}

export interface WalkOptions {
  /** The chunk at which the walk begins. */
  from: number
  /** True if the record is walked because the view has changed. */
  isRound: boolean
}

interface Walk extends WalkOptions {
  record: RecordRef
}

/**
 * The one worker that walks records in the background, at a pace that leaves room for puts and reads. It walks the
 * unfinished records at growing intervals until nothing is missing, and at once when a member connects. When the view
 * has changed and has stood for `VIEW_STANDS_MS`, it walks every record once, since this member may owe other blocks
 * now. After a restart both continue where they stopped. After a clean stop under the same view nothing is left to do.
 */
export class RepairBackground {
  readonly worker: Worker
  readonly #options: RepairBackgroundOptions
  readonly #log: Logger
  readonly #backoff = new Backoff({ minMs: WALK_RETRY_MS, maxMs: WALK_RETRY_MS_MAX })
  readonly #pace: Pace
  readonly #settled = Promise.withResolvers<void>()
  // True once every record that was not walked at the last stop has been walked.
  #isSettled = false
  /** How many records found no room in the queue, and how many of these have been walked since. */
  #droppedCount = 0
  #doneCount = 0
  // True if a walk failed for a reason other than a missing block, until a pass ends without such a failure.
  #hasFailed = false
  #hasPassFailed = false
  #isRetryWanted = false
  #lostChunks = 0
  #cancelAgain: () => void = () => {}
  /** The next time at which a record is due, by the wall clock. */
  #nextDueMs = Number.POSITIVE_INFINITY
  /** When records that have been incomplete for long are tried again, by the monotonic clock. */
  #oldAtMs = Number.NEGATIVE_INFINITY

  constructor(options: RepairBackgroundOptions) {
    const { clock, logger, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:repair')
    this.#pace = new Pace(options)
    this.worker = new Worker({
      name: 'repair',
      clock,
      log: this.#log,
      everyMs: () => this.#pauseMs(),
      // While the index cannot be written, due records stay due.
      backoff: new Backoff({ minMs: WALK_RETRY_MS, maxMs: WALK_RETRY_MS_MAX }),
      onError,
      work: signal => this.#work(signal)
    })
  }

  start(): void {
    this.#wakeAgain()
    this.worker.wake()
    this.worker.start()
  }

  async stop(): Promise<void> {
    this.#cancelAgain()
    await this.worker.stop()
    this.#settled.resolve()
  }

  /** Walks the unfinished records at once. Call it when a member has connected or the view has changed. */
  retry(): void {
    this.#backoff.reset()
    this.#isRetryWanted = true
    this.worker.wake()
  }

  /** Notes that a record is to be walked at this wall-clock time, or that a walk has left something missing. */
  schedule(dueAtMs: number): void {
    this.#nextDueMs = Math.min(this.#nextDueMs, dueAtMs)
    if (dueAtMs <= this.#options.clock.now()) this.worker.wake()
    else this.worker.schedule()
  }

  /** Notes that a new record found no room in the queue. */
  noteDropped(): void {
    this.#droppedCount++
    this.worker.schedule()
  }

  /** Notes that a walk failed. Blocks of its record may be here that nothing refers to, so nothing is freed. */
  noteFailed(): void {
    this.#hasFailed = true
    this.#hasPassFailed = true
    this.worker.schedule()
  }

  /** Notes that a walk brought blocks that were missing. More may follow. */
  noteHelped(): void {
    this.#backoff.reset()
  }

  /** Resolves once every record that was not walked at the last stop has been walked. */
  get settled(): Promise<void> {
    return this.#settled.promise
  }

  /** False while there may be a block here that a record needs but that nothing refers to yet. */
  get isCertain(): boolean {
    const isWalked = this.#isSettled && this.#doneCount === this.#droppedCount && !this.#hasFailed
    return isWalked && !this.#options.stops.isStopping
  }

  /** The chunks that the last pass over all missing blocks found missing, for `LOST_AFTER_MS` or more. */
  get lostChunks(): number {
    return Math.min(this.#lostChunks, this.#options.unfinished.missingBlocks)
  }

  get #mustRetry(): boolean {
    return this.#options.unfinished.missingBlocks > 0 || this.#hasFailed || this.#doneCount !== this.#droppedCount
  }

  #pauseMs(): number {
    const { clock, round, view } = this.#options
    const dueMs = Math.max(0, this.#nextDueMs - clock.now())
    const roundMs = round.isDone ? round.waitMs(view()) : WALK_RETRY_MS
    return Math.min(this.#mustRetry ? this.#backoff.nextMs() : Number.POSITIVE_INFINITY, dueMs, roundMs)
  }

  async #work(signal: AbortSignal): Promise<void> {
    await this.#options.claimAsides()
    if (this.#isSettled || !(await this.#settle(signal))) await this.#walkDue(signal)
    if (this.#isSettled) await this.#walkRound(signal)
  }

  /** Walks the records that were not walked at the last stop. Returns false if there were none. */
  async #settle(signal: AbortSignal): Promise<boolean> {
    const count = await this.#pass(({ unfinished }) => isNew(unfinished), signal)
    if (this.#hasPassFailed || signal.aborted) return true
    this.#isSettled = true
    this.#settled.resolve()
    // Unfinished records of other kinds follow later. Just after a start hardly any member is connected to pull from.
    this.#nextDueMs = this.#options.clock.now() + WALK_RETRY_MS
    return count > 0
  }

  /** Walks the unfinished records that are due. */
  async #walkDue(signal: AbortSignal): Promise<void> {
    const { clock, unfinished, stops } = this.#options
    const dropped = this.#droppedCount
    const withOld = this.#isRetryWanted || clock.monotonic() >= this.#oldAtMs
    if (withOld) this.#oldAtMs = clock.monotonic() + WALK_OLD_MS
    this.#isRetryWanted = false
    this.#nextDueMs = Number.POSITIVE_INFINITY
    const nowMs = clock.now()
    if (unfinished.missingBlocks > 0) this.#log('looks for missing blocks: %d', unfinished.missingBlocks)
    let lost = 0
    await this.#pass(({ unfinished: row }) => {
      lost += longLacking(row, nowMs)
      const isWanted = isDue(row, nowMs) && (withOld || !isOld(row, nowMs))
      if (!isWanted && row.dueAtMs > nowMs) this.#nextDueMs = Math.min(this.#nextDueMs, row.dueAtMs)
      return isWanted
    }, signal)
    if (!signal.aborted) {
      this.#lostChunks = lost
      this.#doneCount = dropped
      this.#hasFailed = this.#hasPassFailed
    }
    await stops.save()
  }

  /** Walks those of the unfinished records that `select` chooses. Returns their number. */
  async #pass(select: (row: UnfinishedRecord) => boolean, signal: AbortSignal): Promise<number> {
    const { unfinished, isQueued, clock } = this.#options
    this.#hasPassFailed = false
    async function* selected(): AsyncGenerator<UnfinishedRecord> {
      for await (const row of unfinished.all()) {
        if (signal.aborted) return
        if (select(row) && !isQueued(row.record)) yield row
      }
    }
    let count = 0
    for await (const step of batchesOf(selected(), WALKS_AT_ONCE)) {
      if (signal.aborted) break
      count += step.length
      const nowMs = clock.now()
      const walks = step.map(({ record, unfinished: row }) => ({ record, from: startOf(row, nowMs), isRound: false }))
      await this.#pace.run(() => this.#walkAll(walks), signal)
    }
    return count
  }

  /**
   * Walks every record once if the view has changed and has stayed the same for long enough, or if the last round was
   * long ago.
   */
  async #walkRound(signal: AbortSignal): Promise<void> {
    const { round, records, view, isQueued, onRound } = this.#options
    if (round.isFirst) {
      // Each record of this index has been walked by now, because it was unfinished.
      await round.begin(view())
      await round.end()
    }
    if (round.waitMs(view()) === 0 || round.againMs === 0) await round.begin(view())
    if (round.isDone) return
    onRound(round.before, view())
    this.#log('walks every record: the view has changed, the last stop was unclean, or the last such walk is long ago')
    for await (const step of batchesOf(records(round.after), WALKS_PER_STEP)) {
      if (signal.aborted) return
      const walks = step.filter(record => !isQueued(record)).map(record => ({ record, from: 0, isRound: true }))
      await this.#pace.run(() => this.#walkAll(walks), signal)
      await round.advance((step.at(-1) as RecordRef).id)
      if (this.#isRetryWanted) await this.#walkDue(signal)
    }
    if (signal.aborted) return
    await round.end()
    this.#wakeAgain()
  }

  #wakeAgain(): void {
    const { round, clock } = this.#options
    this.#cancelAgain()
    if (round.isDone) this.#cancelAgain = clock.after(round.againMs, () => this.worker.wake())
  }

  /** Walks records, several at once. Returns true if blocks were pulled or could not be obtained. */
  async #walkAll(walks: readonly Walk[]): Promise<boolean> {
    const { unfinished } = this.#options
    let hasWaited = false
    const rest = [...walks]
    const walkers = Array.from({ length: Math.min(WALKS_AT_ONCE, rest.length) }, async () => {
      for (let next = rest.shift(); next !== undefined; next = rest.shift()) {
        if (unfinished.isWalking(next.record)) continue
        const outcome = await this.#walkOne(next)
        // A walk that was cut may have been busy all the time, so it does not count as waiting.
        hasWaited ||= outcome === undefined || outcome.pulled > 0 || (isMissing(outcome) && !outcome.isCut)
      }
    })
    await Promise.all(walkers)
    return hasWaited
  }

  /** Walks a record. Returns undefined if the walk failed. Then the record is unfinished, and is walked again. */
  async #walkOne({ record, ...options }: Walk): Promise<WalkOutcome | undefined> {
    const { walk, unfinished } = this.#options
    try {
      return await walk(record, options)
    } catch (error) {
      if (isAbort(error)) return undefined
      this.#log('record %s: the walk failed, another one follows: %s', nameOfId(record.id), reasonOf(error))
      this.noteFailed()
      await unfinished.later(record, NEW.dueAtMs)
      return undefined
    }
  }
}
