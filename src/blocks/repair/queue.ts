import { Backoff } from '../../util/backoff.ts'
import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import { UNCERTAIN_MS, WALK_QUEUE_MAX, WALK_RETRY_MS, WALK_RETRY_MS_MAX, WALKS_AT_ONCE } from '../constants.ts'
import { nameOfId } from '../log-names.ts'
import type { RecordRef } from '../record-ref.ts'
import { isMissing, type WalkOutcome } from './walk-outcome.ts'

export interface RepairQueueOptions {
  clock: Clock
  logger: ComponentLogger
  walk: (record: RecordRef) => Promise<WalkOutcome>
  /** Yields every record that has blocks. */
  records: () => AsyncIterable<RecordRef>
  /**
   * `isUnfinished` returns true if the index says that this record is still to be walked, and `hasUnfinished` if it
   * says so of any record.
   */
  isUnfinished: (record: RecordRef) => Promise<boolean>
  hasUnfinished: () => Promise<boolean>
  onError: (error: unknown) => void
}

interface Pending {
  record: RecordRef
  /** When the record arrived (monotonic clock). `Infinity` if an earlier walk has already written its references. */
  sinceAtMs: number
  /**
   * If a chunk of the record is evicted during its walk, the wall-clock time from which the chunk is owed again. It is
   * kept here because the walk may already have passed that chunk.
   */
  owedAgainAtMs: number
  done: PromiseWithResolvers<void>
}

/**
 * Decides which records are walked, and when. New records are walked immediately and before others. If a walk left
 * blocks of a record missing, the record is walked again: at intervals that grow until a retry helps, and immediately
 * when a member connects. Both queues are bounded: a record that does not fit is found again in the index.
 */
export class RepairQueue {
  /** Walks records again while blocks of theirs are missing. */
  readonly worker: Worker
  readonly #options: RepairQueueOptions
  readonly #log: Logger
  readonly #backoff = new Backoff({ minMs: WALK_RETRY_MS, maxMs: WALK_RETRY_MS_MAX })
  /** New records, oldest first, and records that are walked again. */
  readonly #fresh = new Map<string, Pending>()
  readonly #repeats = new Map<string, Pending>()
  readonly #walking = new Map<string, Pending>()
  /** Records whose last walk left something undone. */
  readonly #unfinished = new Map<string, { record: RecordRef; outcome: WalkOutcome }>()
  readonly #settled = Promise.withResolvers<void>()
  #missingChunks = 0
  #missingNodes = 0
  #walkers = 0
  #isStopped = false
  // True once every record that was unfinished at the last stop has been walked once.
  #isSettled = false
  #hasWalkedAll = false
  // True if, for lack of room, new records were not queued or unfinished records were forgotten. The index still has
  // them.
  #hasDroppedNew = false
  #hasDroppedUnfinished = false
  #isRescanning = false
  #onRoom: Array<() => void> = []

  constructor(options: RepairQueueOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:repair')
    this.worker = new Worker({
      name: 'repair retry',
      clock: options.clock,
      log: this.#log,
      everyMs: () =>
        this.#unfinished.size > 0 || this.#hasDroppedUnfinished ? this.#backoff.nextMs() : Number.POSITIVE_INFINITY,
      work: async () => this.#walkUnfinished()
    })
  }

  /** Adds a record that has just been accepted. */
  add(record: RecordRef): void {
    this.#push(this.#fresh, record, this.#options.clock.monotonic())
  }

  /** Schedules another walk of a record, no earlier than this wall-clock time. */
  addLater(record: RecordRef, owedAgainAtMs: number): void {
    const key = toHex(record.id)
    const walking = this.#walking.get(key)
    if (walking !== undefined) walking.owedAgainAtMs = Math.min(walking.owedAgainAtMs, owedAgainAtMs)
    if (!this.#unfinished.has(key)) this.#remember(record, { missingChunks: 0, missingNodes: 0, owedAgainAtMs })
  }

  /**
   * Walks every record once. The unfinished records come first, since it is not certain which blocks are needed until
   * they have been walked. Resolves when all other records are in the queue.
   */
  async start(): Promise<void> {
    this.worker.start()
    try {
      if (await this.#options.hasUnfinished()) {
        this.#log('walking the records that were unfinished at the last stop')
        await this.#addAll(this.#options.isUnfinished)
        await this.#allDone(this.#repeats)
      }
      this.#isSettled = true
      this.#settled.resolve()
      await this.#addAll(async () => true)
      this.#log.trace('every record is in the queue')
      void this.#allDone(this.#repeats).then(() => {
        this.#hasWalkedAll = !this.#isStopped
      })
    } catch (error) {
      if (!isAbort(error) && !this.#isStopped) throw error
      this.#log('the first walk of every record ended with the node: %s', reasonOf(error))
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.worker.stop()
    for (const queue of [this.#fresh, this.#repeats]) {
      for (const { done } of queue.values()) done.resolve()
      queue.clear()
    }
    this.#settled.resolve()
    this.#makeRoom()
    await this.#allDone()
  }

  /**
   * Walks the unfinished records immediately. Call it when a member has connected or the view has changed, since
   * missing blocks may be available now.
   */
  retry(): void {
    this.#backoff.reset()
    this.worker.wake()
  }

  /** Resolves once every record that has been added by now has been walked. */
  async caughtUp(): Promise<void> {
    await this.#settled.promise
    await this.#allDone(this.#fresh)
  }

  /** False while there may be a block here that a record needs but that nothing refers to yet. */
  get isCertain(): boolean {
    const isComplete = this.#isSettled && !this.#hasDroppedNew && !this.#hasDroppedUnfinished && !this.#isRescanning
    if (!isComplete || this.#missingNodes > 0) return false
    const beforeMs = this.#options.clock.monotonic() - UNCERTAIN_MS
    const [oldest] = this.#fresh.values()
    if (oldest !== undefined && oldest.sinceAtMs < beforeMs) return false
    for (const { sinceAtMs } of this.#walking.values()) if (sinceAtMs < beforeMs) return false
    return true
  }

  /** True once every record that the log had at the start has been walked. */
  get hasWalkedAll(): boolean {
    return this.#hasWalkedAll
  }

  /** The number of blocks that the last walks found missing. */
  get missingBlocks(): number {
    return this.#missingChunks + this.#missingNodes
  }

  #push(queue: Map<string, Pending>, record: RecordRef, sinceAtMs: number): void {
    const key = toHex(record.id)
    if (this.#isStopped || this.#fresh.has(key) || queue.has(key)) return
    if (queue.size >= WALK_QUEUE_MAX) {
      this.#hasDroppedNew = true
      return
    }
    queue.set(key, { record, sinceAtMs, owedAgainAtMs: Number.POSITIVE_INFINITY, done: Promise.withResolvers<void>() })
    if (this.#walkers === WALKS_AT_ONCE) return
    this.#walkers++
    void this.#drain()
  }

  /** Walks one record after another until none is left. */
  async #drain(): Promise<void> {
    for (;;) {
      const queue = this.#fresh.size > 0 ? this.#fresh : this.#repeats
      const [next] = queue
      if (next === undefined) break
      const [key, pending] = next
      queue.delete(key)
      this.#walking.set(key, pending)
      if (queue.size < WALK_QUEUE_MAX / 2) this.#makeRoom()
      await this.#walk(pending)
      if (this.#walking.get(key) === pending) this.#walking.delete(key)
      pending.done.resolve()
    }
    this.#walkers--
    if (this.#hasDroppedNew && this.#walkers === 0) this.#rescan()
  }

  async #walk(pending: Pending): Promise<void> {
    const { record } = pending
    try {
      const walked = await this.#options.walk(record)
      const outcome = { ...walked, owedAgainAtMs: Math.min(walked.owedAgainAtMs, pending.owedAgainAtMs) }
      const before = this.#unfinished.get(toHex(record.id))?.outcome
      if (before !== undefined && !isMissing(outcome)) this.#backoff.reset()
      if (before !== undefined && isMissing(before) && !isMissing(outcome))
        this.#log('record %s: nothing is missing any more', nameOfId(record.id))
      this.#remember(record, outcome)
    } catch (error) {
      this.#log('record %s: the walk failed: %s', nameOfId(record.id), reasonOf(error))
      if (this.#isStopped || isAbort(error)) return
      this.#options.onError(error)
      // Any part of the record may be missing, so count a manifest node as missing: nothing is freed while one is.
      this.#remember(record, { missingChunks: 0, missingNodes: 1, owedAgainAtMs: Number.POSITIVE_INFINITY })
    }
  }

  /** Tracks which blocks of a record are missing, and forgets the record once it is complete. */
  #remember(record: RecordRef, outcome: WalkOutcome): void {
    if (this.#isStopped) return
    const key = toHex(record.id)
    this.#count(this.#unfinished.get(key)?.outcome, -1)
    this.#unfinished.delete(key)
    if (!isMissing(outcome) && outcome.owedAgainAtMs === Number.POSITIVE_INFINITY) return
    if (this.#unfinished.size >= WALK_QUEUE_MAX) this.#hasDroppedUnfinished = true
    else {
      this.#unfinished.set(key, { record, outcome })
      this.#count(outcome, 1)
    }
    this.worker.schedule()
  }

  #count(outcome: WalkOutcome | undefined, sign: 1 | -1): void {
    this.#missingChunks += sign * (outcome?.missingChunks ?? 0)
    this.#missingNodes += sign * (outcome?.missingNodes ?? 0)
  }

  /** Puts the unfinished records that are due back into the queue. */
  #walkUnfinished(): void {
    const nowAtMs = this.#options.clock.now()
    const due = [...this.#unfinished.values()].filter(
      ({ outcome }) => isMissing(outcome) || outcome.owedAgainAtMs <= nowAtMs
    )
    if (due.length > 0) this.#log('walks records again: %d, missing blocks: %d', due.length, this.missingBlocks)
    for (const { record } of due) this.#push(this.#repeats, record, Number.POSITIVE_INFINITY)
    if (this.#hasDroppedUnfinished) this.#rescan()
  }

  /** Finds the records that had no room in memory again in the index. */
  #rescan(): void {
    if (this.#isRescanning || this.#isStopped) return
    this.#log('looking in the index for records that had no room in memory')
    this.#isRescanning = true
    this.#hasDroppedNew = false
    this.#hasDroppedUnfinished = false
    void this.#addAll(this.#options.isUnfinished)
      .then(() => this.#allDone(this.#repeats))
      .catch(error => {
        this.#log('could not look for unfinished records: %s', reasonOf(error))
        if (this.#isStopped) return
        this.#hasDroppedUnfinished = true
        this.worker.schedule()
        this.#options.onError(error)
      })
      .finally(() => {
        this.#isRescanning = false
      })
  }

  /** Adds records no faster than they are walked. */
  async #addAll(filter: (record: RecordRef) => Promise<boolean>): Promise<void> {
    for await (const record of this.#options.records()) {
      if (!this.#isStopped && !(await filter(record))) continue
      while (this.#repeats.size >= WALK_QUEUE_MAX / 2 && !this.#isStopped)
        await new Promise<void>(resolve => this.#onRoom.push(resolve))
      if (this.#isStopped) return
      this.#push(this.#repeats, record, Number.POSITIVE_INFINITY)
    }
  }

  /** Resolves once the walks that are now under way or waiting in the queue have ended. */
  async #allDone(queue: ReadonlyMap<string, Pending> = new Map()): Promise<void> {
    const all = [...queue.values(), ...this.#walking.values()]
    await Promise.all(all.map(({ done }) => done.promise))
  }

  #makeRoom(): void {
    for (const resolve of this.#onRoom.splice(0)) resolve()
  }
}
