import type { Limiter } from '../util/limiter.ts'
import type { Logger } from '../util/logger.ts'
import { Compaction } from './compaction.ts'
import { COMPACT_BELOW, PROJECT_ROWS_MAX, REPLAY_BYTES_MAX } from './constants.ts'
import type { Damage } from './damage.ts'
import { Erasure } from './erasure.ts'
import { IndexCorruptError } from './errors.ts'
import { IndexCheck } from './index-check.ts'
import { IndexCursor, readCursor } from './index-cursor.ts'
import type { IndexDb, IndexOp } from './index-db.ts'
import { type Cursor, isBefore, type Place } from './place.ts'
import type { Projections } from './projections.ts'
import type { ReadsUnderWay } from './reads-under-way.ts'
import { RefusedRows } from './refused-rows.ts'
import type { PlacedRow } from './row.ts'
import { rowBatches, withoutVoid } from './row-batches.ts'
import { RowWriter } from './row-writer.ts'
import { SegmentUsage } from './segment-usage.ts'
import type { Segments } from './segments.ts'

export interface RowLogOptions {
  segments: Segments
  index: IndexDb
  projections: Projections
  damage: Damage
  reads: ReadsUnderWay
  gate: Limiter
  makeRoom: () => Promise<boolean>
  log: Logger
  compactionLog: Logger
  erasureLog: Logger
}

/** What a replay found. */
export interface Replay {
  /** The changes that have to be in the index once the log is open. */
  ops: IndexOp[]
  replayedRows: number
  damagedStretches: number
}

/**
 * The segments of one kind, with everything that keeps them and the index in step. The rows of one log keep their order
 * when they are replayed. Rows of different logs do not depend on each other.
 */
export class RowLog {
  readonly segments: Segments
  readonly usage: SegmentUsage
  readonly cursor: IndexCursor
  readonly refused: RefusedRows
  readonly writer: RowWriter
  readonly check: IndexCheck
  readonly compaction: Compaction
  readonly erasure: Erasure
  readonly #options: RowLogOptions

  constructor(options: RowLogOptions) {
    const { segments, index } = options
    this.#options = options
    this.segments = segments
    this.usage = new SegmentUsage({ index, segments })
    this.cursor = new IndexCursor(segments)
    const parts = { ...options, cursor: this.cursor, usage: this.usage }
    this.refused = new RefusedRows(parts)
    this.writer = new RowWriter({ ...parts, refused: this.refused })
    this.check = new IndexCheck(parts)
    this.compaction = new Compaction({ ...parts, log: options.compactionLog, check: this.check, writer: this.writer })
    this.erasure = new Erasure({ ...parts, log: options.erasureLog })
  }

  /** Reads the rows that the index lacks into it. Throws an `IndexCorruptError` if the index cannot be used. */
  async replay(): Promise<Replay> {
    const { segments, index } = this.#options
    const cursor = await readCursor(index, segments.kind)
    // The index refers to rows that are gone. New rows would get the places of those rows, and the index would not
    // notice.
    if (isBefore(segments.end, cursor))
      throw new IndexCorruptError('the index is ahead of the segments', { damagedStretches: 1 })
    const stale = await this.usage.load()
    const { unerased, ...counts } = await this.#replay(cursor)
    const ops = [...stale, ...this.usage.allDeadOps(), ...this.erasure.ops(unerased), ...this.positionOps()]
    return { ...counts, ops }
  }

  /** Counts the rows at these places as dead, as far as they are in this log. Returns the changes for the index. */
  markDead(places: readonly Place[]): IndexOp[] {
    return [...this.usage.markDead(places), ...this.erasure.ops(places)]
  }

  /** Returns the changes that save how far the index has come, and which segments it needs. */
  positionOps(): IndexOp[] {
    const listed = this.segments.segmentsWithRows().flatMap(segment => this.usage.listOps(segment))
    return [this.cursor.saveOp(), ...listed]
  }

  /** Returns the changes that the index needs after it has been opened again. Call this while no row is written. */
  async reopenOps(): Promise<IndexOp[]> {
    const refused = await this.refused.assertNotIndexed()
    const stale = await this.usage.load()
    return [...stale, ...this.markDead(refused), ...this.positionOps()]
  }

  /** Overwrites the next dead rows, but not in segments that are about to be compacted. Returns how many bytes they had. */
  eraseNext(signal?: AbortSignal): Promise<number> {
    return this.erasure.eraseNext(this.compaction.leaving(COMPACT_BELOW), signal)
  }

  async retryUndo(): Promise<void> {
    await this.segments.retryUndo()
    if (this.segments.isUndone) this.cursor.release()
  }

  async #replay(from: Cursor): Promise<Omit<Replay, 'ops'> & { unerased: readonly Place[] }> {
    const { index, projections, damage } = this.#options
    const unerased: Place[] = []
    let replayedRows = 0
    let damagedStretches = 0
    const rows = this.segments.scan(from, at => {
      damagedStretches++
      damage.note(at)
    })
    // A failed batch may have reached the index although its rows are void.
    const valid = withoutVoid(rows, async row => {
      await this.refused.assertDead(row)
      this.usage.markDead([row.place])
      if (!row.isErased) unerased.push(row.place)
      if (unerased.length === PROJECT_ROWS_MAX) await index.batch(this.erasure.ops(unerased.splice(0)))
    })
    for await (const batch of rowBatches(valid, PROJECT_ROWS_MAX, REPLAY_BYTES_MAX)) {
      await projections.get((batch[0] as PlacedRow).type)?.project(batch, true)
      replayedRows += batch.length
    }
    return { replayedRows, damagedStretches, unerased }
  }
}
