import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { WALKS_AT_ONCE } from '../constants.ts'
import type { RecordRef } from '../record-ref.ts'
import { UNCERTAIN_MS, WALK_QUEUE_MAX } from './constants.ts'

export interface RepairQueueOptions {
  clock: Pick<Clock, 'monotonic'>
  /** Walks a record. Never rejects. */
  walk: (record: RecordRef) => Promise<void>
  /** Called with a record for which there is no room. Its row in the index is still there. */
  onNoRoom: (record: RecordRef) => void
}

interface Pending {
  record: RecordRef
  /** When the record arrived, by the monotonic clock. */
  sinceAtMs: number
  done: PromiseWithResolvers<void>
}

/**
 * The records that have just been accepted. They are walked at once, several at a time, in the order of their arrival.
 */
export class RepairQueue {
  readonly #options: RepairQueueOptions
  readonly #waiting = new Map<string, Pending>()
  readonly #walking = new Map<string, Pending>()
  #walkers = 0
  #isStopped = false

  constructor(options: RepairQueueOptions) {
    this.#options = options
  }

  add(record: RecordRef): void {
    const key = toHex(record.id)
    if (this.#isStopped || this.#waiting.has(key)) return
    if (this.#waiting.size >= WALK_QUEUE_MAX) {
      this.#options.onNoRoom(record)
      return
    }
    const sinceAtMs = this.#options.clock.monotonic()
    this.#waiting.set(key, { record, sinceAtMs, done: Promise.withResolvers<void>() })
    if (this.#walkers === WALKS_AT_ONCE) return
    this.#walkers++
    void this.#drain()
  }

  /** Returns true if a record waits here or is being walked. */
  has({ id }: Pick<RecordRef, 'id'>): boolean {
    const key = toHex(id)
    return this.#waiting.has(key) || this.#walking.has(key)
  }

  /** Resolves once every record that has been added so far has been walked. */
  async caughtUp(): Promise<void> {
    const all = [...this.#waiting.values(), ...this.#walking.values()]
    await Promise.all(all.map(({ done }) => done.promise))
  }

  /** True while a record has waited longer than `UNCERTAIN_MS` for the end of its walk. */
  get isLate(): boolean {
    const beforeMs = this.#options.clock.monotonic() - UNCERTAIN_MS
    const [oldest] = this.#waiting.values()
    if (oldest !== undefined && oldest.sinceAtMs < beforeMs) return true
    for (const { sinceAtMs } of this.#walking.values()) if (sinceAtMs < beforeMs) return true
    return false
  }

  /** Forgets the records that wait, and resolves once no walk is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const { done } of this.#waiting.values()) done.resolve()
    this.#waiting.clear()
    await this.caughtUp()
  }

  /** Walks one record after another until none is left. */
  async #drain(): Promise<void> {
    for (;;) {
      const [next] = this.#waiting
      if (next === undefined) break
      const [key, pending] = next
      this.#waiting.delete(key)
      this.#walking.set(key, pending)
      await this.#options.walk(pending.record)
      this.#walking.delete(key)
      pending.done.resolve()
    }
    this.#walkers--
  }
}
