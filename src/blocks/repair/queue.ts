import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { UNCERTAIN_MS, WALK_QUEUE_MAX, WALK_RETRY_MS, WALK_RETRY_MS_MAX, WALKS_AT_ONCE } from '../constants.ts'
import type { RecordRef } from '../record-ref.ts'

/** What a walk could not have. */
export interface Lacking {
  blocks: number
  /** Manifest nodes: below them may be anything. */
  nodes: number
  /** When something that was evicted is owed again, by the wall clock; `Infinity` if nothing was. */
  owedAgainAtMs: number
}

export interface RepairQueueOptions {
  clock: Clock
  walk: (record: RecordRef) => Promise<Lacking>
  /** Every record that has blocks. */
  all: () => AsyncIterable<RecordRef>
  /** Whether the index still has a record down as one to be walked; and whether it has any. */
  isUnfinished: (record: RecordRef) => Promise<boolean>
  hasUnfinished: () => Promise<boolean>
  onError: (error: unknown) => void
}

interface Pending {
  record: RecordRef
  /** When it came; `Infinity` if its references have been made before. */
  sinceAtMs: number
  /** When it is to be walked again, said while it is being walked: what it evicted may have been passed already. */
  againAtMs: number
  done: PromiseWithResolvers<void>
}

/**
 * Which records are walked, and when: new ones at once and first, each again until nothing is lacking, at longer and
 * longer intervals while that helps nothing. What does not fit in memory is found again in the index.
 */
export class RepairQueue {
  readonly #options: RepairQueueOptions
  /** New records, the oldest first, and those that are walked again. */
  readonly #fresh = new Map<string, Pending>()
  readonly #again = new Map<string, Pending>()
  readonly #walking = new Map<string, Pending>()
  /** What past walks could not have, and whose turn comes again. */
  readonly #waiting = new Map<string, { record: RecordRef; lacking: Lacking }>()
  readonly #settled = Promise.withResolvers<void>()
  #lackingBlocks = 0
  #lackingNodes = 0
  #workers = 0
  #isStopped = false
  // Until all that was unfinished at the last stop has been walked once.
  #isSettled = false
  // New records were turned away, or lacking ones forgotten: the index knows them.
  #isOverflowing = false
  #isForgetful = false
  #isRescanning = false
  #retryMs = WALK_RETRY_MS
  #cancelRetry: (() => void) | undefined
  #onRoom: Array<() => void> = []

  constructor(options: RepairQueueOptions) {
    this.#options = options
  }

  /** A record that has just come to stand. */
  add(record: RecordRef): void {
    this.#push(this.#fresh, record, this.#options.clock.monotonic())
  }

  /** Walks a record once more, but not before a time of the wall clock. */
  addLater(record: RecordRef, notBeforeMs: number): void {
    const key = toHex(record.id)
    const walking = this.#walking.get(key)
    if (walking !== undefined) walking.againAtMs = Math.min(walking.againAtMs, notBeforeMs)
    if (!this.#waiting.has(key)) this.#note(record, { blocks: 0, nodes: 0, owedAgainAtMs: notBeforeMs })
  }

  /**
   * Walks everything once: first what was unfinished, since until then it is not certain what is needed. Resolves when
   * all of it is on its way.
   */
  async start(): Promise<void> {
    try {
      if (await this.#options.hasUnfinished()) {
        await this.#addAll(this.#options.isUnfinished)
        await this.#allDone(this.#again)
      }
      this.#isSettled = true
      this.#settled.resolve()
      await this.#addAll(async () => true)
    } catch (error) {
      if (!isAbort(error) && !this.#isStopped) throw error
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelRetry?.()
    for (const queue of [this.#fresh, this.#again]) {
      for (const { done } of queue.values()) done.resolve()
      queue.clear()
    }
    this.#settled.resolve()
    this.#makeRoom()
    await this.#allDone()
  }

  /** A member came, or the view changed: what was lacking may be to be had. */
  retry(): void {
    this.#retryMs = WALK_RETRY_MS
    this.#retryNow()
  }

  /** Resolves once all that has come by now has been walked. */
  async caughtUp(): Promise<void> {
    await this.#settled.promise
    await this.#allDone(this.#fresh)
  }

  /** False while there may be something here that a record needs and nothing refers to. */
  get isCertain(): boolean {
    const isComplete = this.#isSettled && !this.#isOverflowing && !this.#isForgetful && !this.#isRescanning
    if (!isComplete || this.#lackingNodes > 0) return false
    const before = this.#options.clock.monotonic() - UNCERTAIN_MS
    const [oldest] = this.#fresh.values()
    if (oldest !== undefined && oldest.sinceAtMs < before) return false
    for (const { sinceAtMs } of this.#walking.values()) if (sinceAtMs < before) return false
    return true
  }

  /** Blocks that walks found lacking. */
  get blocks(): number {
    return this.#lackingBlocks + this.#lackingNodes
  }

  #push(queue: Map<string, Pending>, record: RecordRef, sinceAtMs: number): void {
    const key = toHex(record.id)
    if (this.#isStopped || this.#fresh.has(key) || queue.has(key)) return
    if (queue.size >= WALK_QUEUE_MAX) {
      this.#isOverflowing = true
      return
    }
    queue.set(key, { record, sinceAtMs, againAtMs: Number.POSITIVE_INFINITY, done: Promise.withResolvers<void>() })
    if (this.#workers === WALKS_AT_ONCE) return
    this.#workers++
    void this.#work()
  }

  async #work(): Promise<void> {
    for (;;) {
      const queue = this.#fresh.size > 0 ? this.#fresh : this.#again
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
    this.#workers--
    if (this.#isOverflowing && this.#workers === 0) this.#rescan()
  }

  async #walk(pending: Pending): Promise<void> {
    const { record } = pending
    try {
      const found = await this.#options.walk(record)
      const lacking = { ...found, owedAgainAtMs: Math.min(found.owedAgainAtMs, pending.againAtMs) }
      if (this.#waiting.has(toHex(record.id)) && lacking.blocks + lacking.nodes === 0) this.#retryMs = WALK_RETRY_MS
      this.#note(record, lacking)
    } catch (error) {
      if (this.#isStopped || isAbort(error)) return
      this.#options.onError(error)
      // What it lacks is not known, so it may be anything.
      this.#note(record, { blocks: 0, nodes: 1, owedAgainAtMs: Number.POSITIVE_INFINITY })
    }
  }

  /** Remembers what a record lacks, until it lacks nothing. */
  #note(record: RecordRef, lacking: Lacking): void {
    if (this.#isStopped) return
    const key = toHex(record.id)
    const before = this.#waiting.get(key)?.lacking
    this.#lackingBlocks += lacking.blocks - (before?.blocks ?? 0)
    this.#lackingNodes += lacking.nodes - (before?.nodes ?? 0)
    this.#waiting.delete(key)
    if (lacking.blocks + lacking.nodes === 0 && lacking.owedAgainAtMs === Number.POSITIVE_INFINITY) return
    if (this.#waiting.size >= WALK_QUEUE_MAX) {
      this.#lackingBlocks -= lacking.blocks
      this.#lackingNodes -= lacking.nodes
      this.#isForgetful = true
    } else {
      this.#waiting.set(key, { record, lacking })
    }
    this.#scheduleRetry()
  }

  #scheduleRetry(): void {
    if (this.#isStopped || this.#cancelRetry !== undefined) return
    this.#cancelRetry = this.#options.clock.after(this.#retryMs, () => {
      this.#retryMs = Math.min(this.#retryMs * 2, WALK_RETRY_MS_MAX)
      this.#retryNow()
    })
  }

  #retryNow(): void {
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    const now = this.#options.clock.now()
    for (const { record, lacking } of [...this.#waiting.values()]) {
      const isDue = lacking.blocks + lacking.nodes > 0 || lacking.owedAgainAtMs <= now
      if (isDue) this.#push(this.#again, record, Number.POSITIVE_INFINITY)
    }
    if (this.#waiting.size > 0) this.#scheduleRetry()
    if (this.#isForgetful) this.#rescan()
  }

  /** Finds in the index what had no room in memory. */
  #rescan(): void {
    if (this.#isRescanning || this.#isStopped) return
    this.#isRescanning = true
    this.#isOverflowing = false
    this.#isForgetful = false
    void this.#addAll(this.#options.isUnfinished)
      .then(() => this.#allDone(this.#again))
      .catch(error => {
        if (this.#isStopped) return
        this.#isForgetful = true
        this.#scheduleRetry()
        this.#options.onError(error)
      })
      .finally(() => {
        this.#isRescanning = false
      })
  }

  /** Adds records at the pace at which they are walked. */
  async #addAll(filter: (record: RecordRef) => Promise<boolean>): Promise<void> {
    for await (const record of this.#options.all()) {
      if (!this.#isStopped && !(await filter(record))) continue
      while (this.#again.size >= WALK_QUEUE_MAX / 2 && !this.#isStopped)
        await new Promise<void>(resolve => this.#onRoom.push(resolve))
      if (this.#isStopped) return
      this.#push(this.#again, record, Number.POSITIVE_INFINITY)
    }
  }

  /** Resolves once the walks under way have ended, and those that wait in a queue now. */
  async #allDone(queue: ReadonlyMap<string, Pending> = new Map()): Promise<void> {
    const all = [...queue.values(), ...this.#walking.values()]
    await Promise.all(all.map(({ done }) => done.promise))
  }

  #makeRoom(): void {
    for (const resolve of this.#onRoom.splice(0)) resolve()
  }
}
