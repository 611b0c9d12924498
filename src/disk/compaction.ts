import { returnBuffer } from '../util/buffer-pool.ts'
import type { Logger } from '../util/logger.ts'
import { COMPACT_SMALL_BELOW, MOVE_BYTES_MAX, MOVE_ROWS_MAX, WASTE_BYTES_MAX } from './constants.ts'
import type { Damage } from './damage.ts'
import { DiskError } from './errors.ts'
import { GoneRows } from './gone-rows.ts'
import type { IndexCheck } from './index-check.ts'
import type { IndexCursor } from './index-cursor.ts'
import type { IndexDb } from './index-db.ts'
import type { Projections } from './projections.ts'
import type { PlacedRow } from './row.ts'
import { rowBatches, withoutVoid } from './row-batches.ts'
import type { RowWriter } from './row-writer.ts'
import type { SegmentUsage } from './segment-usage.ts'
import type { Segments } from './segments.ts'

export interface CompactionOptions {
  segments: Segments
  index: IndexDb
  projections: Projections
  cursor: IndexCursor
  usage: SegmentUsage
  damage: Damage
  check: IndexCheck
  writer: RowWriter
  log: Logger
}

/** Frees the space of dead rows: it copies the live rows of a segment to the end, then removes the segment. */
export class Compaction {
  readonly #options: CompactionOptions
  /** Segments whose last compaction has failed, for example because there was no room for their live rows. */
  readonly #failed = new Set<number>()

  constructor(options: CompactionOptions) {
    this.#options = options
  }

  /**
   * Returns the closed segments whose live share is less than `below`, or of segments of small rows at least less than
   * `COMPACT_SMALL_BELOW`.
   */
  candidates(below: number): Array<{ segment: number; live: number }> {
    const { segments, usage } = this.#options
    return segments
      .closedSegments()
      .filter(({ segment }) => !this.#mustStay(segment))
      .map(({ segment, bytes }) => ({ segment, live: usage.liveShare(segment, bytes) }))
      .filter(({ live }) => live < this.#bound(below))
  }

  /** Returns the segments that are about to be removed, unless this has failed: for them nothing else has to be done. */
  leaving(below: number): ReadonlySet<number> {
    const leaving = new Set(this.candidates(below).map(({ segment }) => segment))
    if (this.#isWasteful(below)) leaving.add(this.#options.segments.lastSegment.segment)
    for (const segment of this.#failed) leaving.delete(segment)
    return leaving
  }

  /**
   * Begins another segment if the last one has many dead bytes and a live share of less than `below`. Otherwise they
   * would stay until it is full, which may take months.
   */
  async endWasteful(below: number): Promise<void> {
    if (this.#isWasteful(below)) await this.#options.segments.endLast()
  }

  /**
   * Copies a segment's live rows to the end and removes it. A crash in between leaves both copies, which does no harm.
   * Rows of refused writes are dropped, even those that could not be made void yet. Two kinds of segment are not
   * removed: one that is damaged, because the unreadable part might still be needed; and one with a row that the index
   * has lost, for which this throws an `IndexCorruptError`.
   */
  async compact(segment: number, signal?: AbortSignal): Promise<void> {
    try {
      await this.#compact(segment, signal)
      this.#failed.delete(segment)
    } catch (error) {
      this.#failed.add(segment)
      throw error
    }
  }

  async #compact(segment: number, signal?: AbortSignal): Promise<void> {
    const { segments, index, projections, cursor, usage, damage, writer, log } = this.#options
    let moved = 0
    const gone = new GoneRows(projections)
    const scanned = segments.scanSegment(segment, 0, at => damage.report(at))
    const rows = withoutVoid(scanned, async row => gone.add(row))
    for await (const batch of rowBatches(rows, MOVE_ROWS_MAX, MOVE_BYTES_MAX, row => row.length)) {
      await writer.alone(async write => {
        moved += await this.#move(batch, write, gone)
      }, signal)
    }
    if (this.#mustStay(segment)) {
      log('segment %d stays: it is damaged', segment)
      return
    }
    // This batch is synced. A power cut may leave an older index, but not one that still refers to the segment that is
    // removed here.
    await index.batch([cursor.saveOp(), usage.unlistOp(segment)], { sync: true })
    usage.unlisted(segment)
    await segments.remove(segment)
    await usage.removed(segment)
    for (const work of gone.tell()) await writer.alone(work, signal)
    index.countReplaced(moved)
    log('compacted segment %d; rows moved: %d', segment, moved)
  }

  #bound(below: number): number {
    return this.#options.segments.kind.isPastCache ? below : Math.max(below, COMPACT_SMALL_BELOW)
  }

  #isWasteful(below: number): boolean {
    const { segments, usage } = this.#options
    const { segment, bytes } = segments.lastSegment
    return usage.deadBytesOf(segment) >= WASTE_BYTES_MAX && usage.liveShare(segment, bytes) < this.#bound(below)
  }

  #mustStay(segment: number): boolean {
    return this.#options.damage.has(segment)
  }

  async #move(rows: readonly PlacedRow[], write: RowWriter['write'], gone: GoneRows): Promise<number> {
    const { projections, check } = this.#options
    const { type } = rows[0] as PlacedRow
    const projection = projections.get(type)
    const live: PlacedRow[] = []
    for (const row of rows) {
      // Rows of a type that this version does not know are kept, because a later version may know the type.
      if (projection === undefined || (await projection.isLive(row))) live.push(row)
      // A row is dead only if the index holds what replaced it. If the index has lost the row, it must not be dropped.
      else {
        await check.assertIndexed(row)
        gone.add(row)
      }
    }
    if (live.length === 0) return 0
    const payloads = live.map(({ payload }) => payload)
    if (live.every(row => row.length === row.payload.byteLength)) await write(type, payloads)
    else {
      const bodies = await Promise.all(live.map(row => this.#bodyOf(row)))
      await write(type, payloads, bodies)
      for (const body of bodies) returnBuffer(body)
    }
    return live.length
  }

  /**
   * Reads the body of a row. Its hash is not checked here, because each reader of the block checks it. If it cannot be read, the
   * segment counts as damaged, so that the next round compacts another one.
   */
  async #bodyOf({ payload, length, place }: PlacedRow): Promise<Uint8Array> {
    const { segments, damage } = this.#options
    try {
      const body = await segments.readUnchecked(place, payload.byteLength)
      if (body.byteLength + payload.byteLength < length) throw new DiskError('a segment has become shorter')
      return body
    } catch (error) {
      damage.report(place)
      throw error
    }
  }
}
