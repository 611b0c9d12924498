import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { KeyedLocks } from '../../util/locks.ts'
import type { RecordRef } from '../record-ref.ts'
import { EVICTED_MS, LOST_AFTER_MS, STOP_MS_MAX } from './constants.ts'
import { hasCome } from './due.ts'
import type { FreeStops } from './free-stops.ts'
import { unfinishedKey } from './record-rows.ts'
import {
  decodeUnfinished,
  encodeUnfinished,
  hidesBlocks,
  isNew,
  type Lacking,
  type Unfinished
} from './unfinished-row.ts'
import { isMissing, type WalkOutcome } from './walk-outcome.ts'

export interface UnfinishedRecordsOptions {
  index: Pick<IndexDb, 'get' | 'range'>
  clock: Pick<Clock, 'now'>
  codec: NodeCodec
  stops: FreeStops
  /** Called with a record that had missing blocks and has none any more. */
  onMended: (record: RecordRef) => void
  /** Writes index changes, in the order in which they are handed over. */
  write: (ops: readonly IndexOp[]) => Promise<void>
}

export interface UnfinishedRecord {
  record: RecordRef
  unfinished: Unfinished
}

/** The outcome of a walk, and the index changes that become valid if nothing is missing. */
export interface Walked {
  outcome: WalkOutcome
  endOps: readonly IndexOp[]
}

/**
 * The records for which something is still to be done: those that have not been walked, those that lack blocks, and
 * those that are to be walked again at some time. They are rows of the index, so they survive a restart, and take no
 * memory however many there are. Only the totals of what is missing are in memory.
 */
export class UnfinishedRecords {
  readonly #options: UnfinishedRecordsOptions
  readonly #locks = new KeyedLocks()
  /** The walks under way, by record id (hex), each with the time from which its record is to be walked again. */
  readonly #walking = new Map<string, { dueAtMs: number }>()
  #missingBlocks = 0

  constructor(options: UnfinishedRecordsOptions) {
    this.#options = options
  }

  /** The number of blocks that the last walks found missing. */
  get missingBlocks(): number {
    return this.#missingBlocks
  }

  /** Counts what is missing. Call it once, before any walk. */
  async load(): Promise<void> {
    for await (const { record, unfinished } of this.all()) this.#count(record, undefined, unfinished.lacking)
  }

  /** Yields every unfinished record, in the order of their ids. */
  async *all(): AsyncGenerator<UnfinishedRecord> {
    const { index, codec } = this.#options
    const table = indexKey(TABLES.unfinished)
    for await (const { key, value } of index.range(table))
      yield decodeUnfinished(key.subarray(table.byteLength), value, codec.code)
  }

  isWalking({ id }: Pick<RecordRef, 'id'>): boolean {
    return this.#walking.has(toHex(id))
  }

  /**
   * Runs the walk of a record that begins at the chunk `from`, and then writes down what is left to do, in one batch with
   * the walk's `endOps` if nothing is missing. Another walk of the same record must not be under way.
   */
  async walk(record: RecordRef, from: number, work: () => Promise<Walked>): Promise<WalkOutcome> {
    const key = toHex(record.id)
    const walking = { dueAtMs: Number.POSITIVE_INFINITY }
    this.#walking.set(key, walking)
    try {
      const { outcome, endOps } = await work()
      await this.#change(record, before => {
        const keptMs = from > 0 && before !== undefined && !isNew(before) ? before.dueAtMs : Number.POSITIVE_INFINITY
        const after = this.#left(before, outcome)
        return { after: { ...after, dueAtMs: Math.min(after.dueAtMs, walking.dueAtMs, keptMs) }, endOps }
      })
      return outcome
    } finally {
      this.#walking.delete(key)
    }
  }

  /** Writes down how far the first walk of a record has come, so that a walk after a restart begins there. */
  async noteProgress(record: RecordRef, outcome: WalkOutcome): Promise<void> {
    await this.#change(record, before => {
      if (before === undefined || !isNew(before)) return undefined
      return { after: { ...this.#left(before, outcome), dueAtMs: 0, position: outcome.position } }
    })
  }

  /** Schedules another walk of a record, of all its chunks, no earlier than this wall-clock time. */
  async later(record: RecordRef, dueAtMs: number): Promise<void> {
    const walking = this.#walking.get(toHex(record.id))
    if (walking !== undefined) walking.dueAtMs = Math.min(walking.dueAtMs, dueAtMs)
    await this.#change(record, before => {
      const due = Math.min(dueAtMs, before?.dueAtMs ?? Number.POSITIVE_INFINITY)
      return { after: { dueAtMs: due, position: 0, lacking: before?.lacking } }
    })
  }

  /** The ids (hex) of the records that are being walked. */
  get walking(): Iterable<string> {
    return this.#walking.keys()
  }

  /** Forgets a record that was released: nothing of it is missing any more, and it hides no blocks. */
  async forget(record: RecordRef): Promise<void> {
    await this.#change(record, () => ({
      after: { dueAtMs: Number.POSITIVE_INFINITY, position: 0, lacking: undefined }
    }))
  }

  /** Returns what is left to do after a walk. */
  #left(before: Unfinished | undefined, outcome: WalkOutcome): Unfinished {
    const { missingChunks: chunks, missingNodes: nodes, isCut, owedAgainAtMs: dueAtMs, position } = outcome
    if (!isMissing(outcome)) return { dueAtMs, position: 0, lacking: undefined }
    const known = before?.lacking
    const lacking = { sinceMs: Math.floor(this.#options.clock.now()), isCut, chunks, nodes }
    if (known !== undefined && hidesBlocks(known) === hidesBlocks(lacking)) lacking.sinceMs = known.sinceMs
    return { dueAtMs, position, lacking }
  }

  /** Replaces the row of a record, and counts the difference. Changes of the same record follow one another. */
  async #change(
    record: RecordRef,
    change: (before: Unfinished | undefined) => { after: Unfinished; endOps?: readonly IndexOp[] } | undefined
  ): Promise<void> {
    await this.#locks.run(toHex(record.id), async () => {
      const row = await this.#get(record)
      const before = row?.unfinished
      const changed = change(before)
      if (changed === undefined) return
      const { after, endOps = [] } = changed
      // The row has the author. A `RecordRef` that was found by following claims does not.
      const known = row?.record ?? record
      const key = unfinishedKey(record.id)
      const isDone = after.dueAtMs === Number.POSITIVE_INFINITY && after.lacking === undefined
      const op: IndexOp = isDone ? { type: 'del', key } : { type: 'put', key, value: encodeUnfinished(known, after) }
      if (!isDone || row !== undefined || endOps.length > 0)
        await this.#options.write([...(after.lacking === undefined ? endOps : []), op])
      this.#count(known, before?.lacking, after.lacking)
      if (before?.lacking !== undefined && after.lacking === undefined) this.#options.onMended(known)
    })
  }

  #count({ author }: RecordRef, before: Lacking | undefined, after: Lacking | undefined): void {
    const { stops } = this.#options
    this.#missingBlocks += blocksOf(after) - blocksOf(before)
    if (before !== undefined && hidesBlocks(before)) stops.remove(author, before)
    if (after !== undefined && hidesBlocks(after)) stops.add(author, after)
  }

  async #get({ id }: RecordRef): Promise<UnfinishedRecord | undefined> {
    const { index, codec } = this.#options
    const value = await index.get(unfinishedKey(id))
    return value === undefined ? undefined : decodeUnfinished(id, value, codec.code)
  }
}

/** Returns true if a record is to be walked now. */
export function isDue(unfinished: Unfinished, nowMs: number): boolean {
  return unfinished.lacking !== undefined || mustBegin(unfinished, nowMs)
}

/** Returns true for a record that has been incomplete for so long that it is tried again only now and then. */
export function isOld({ lacking }: Unfinished, nowMs: number): boolean {
  return lacking !== undefined && lacking.nodes > 0 && lacking.sinceMs + STOP_MS_MAX <= nowMs
}

/** Returns how many chunks of a record have been missing for so long that they may be lost. */
export function longLacking({ lacking }: Unfinished, nowMs: number): number {
  return lacking !== undefined && !hidesBlocks(lacking) && lacking.sinceMs + LOST_AFTER_MS <= nowMs ? lacking.chunks : 0
}

/** Returns the chunk at which the walk of a record begins. */
export function startOf(unfinished: Unfinished, nowMs: number): number {
  // An evicted or bad chunk may be anywhere.
  return !isNew(unfinished) && mustBegin(unfinished, nowMs) ? 0 : unfinished.position
}

/**
 * Returns true once the time is reached from which a record is to be walked. No such time is further ahead than an
 * evict's.
 */
function mustBegin({ dueAtMs }: Unfinished, nowMs: number): boolean {
  return Number.isFinite(dueAtMs) && hasCome(dueAtMs, nowMs, EVICTED_MS)
}

function blocksOf(lacking: Lacking | undefined): number {
  if (lacking === undefined) return 0
  // The part that a walk has not seen counts as one block, so that something is known to be missing.
  return lacking.chunks + lacking.nodes + (lacking.isCut ? 1 : 0)
}
