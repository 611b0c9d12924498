import { cidOfMultihash, verifyBlock } from '../format/cid.ts'
import { returnBuffer } from '../util/buffer-pool.ts'
import { equalBytes } from '../util/bytes.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { AbandonedSegments } from './abandoned-segments.ts'
import { MULTIHASH_BYTES, ROW_LARGE_BLOCK } from './constants.ts'
import { eraseRows } from './erase-rows.ts'
import { RowCorruptError, UnknownLayoutError } from './errors.ts'
import type { Files } from './files.ts'
import { type Cursor, isBefore, type Place } from './place.ts'
import { FOOTER, type PlacedRow, ROW_HEADER_BYTES, type Row, RowCodec, SegmentChecksum } from './row.ts'
import { headerBytes, type SegmentKind, SMALL_ROWS, segmentHeader, segmentOf, segmentPath } from './segment-layout.ts'
import { SegmentList } from './segment-list.ts'
import { SegmentReaders } from './segment-readers.ts'
import { scanRows } from './segment-scan.ts'
import { SegmentWriter } from './segment-writer.ts'
import { VoidRows } from './void-rows.ts'

export interface SegmentsOptions {
  files: Files
  /** 16 bytes that distinguish this store from any other. Nobody outside may know them. */
  storeId: Uint8Array
  logger: ComponentLogger
  /** Statements, claims and small blocks if left out. */
  kind?: SegmentKind
  /** Tests use smaller segments. */
  segmentBytes?: number
}

/**
 * The segments of one kind: append-only files of rows, each row with a checksum. A row is acknowledged only
 * when it is durable. After a crash the last segment may end in a torn row, which `open` cuts off. A row of a write that
 * was under way at a crash may be in the segment nevertheless. A row of a write that has failed is undone before the
 * error is thrown, so no start counts it.
 *
 * This class opens, reads and removes segments. `SegmentWriter` appends to the last one, `AbandonedSegments` cuts and
 * finishes those that a failed write left without a footer, and `VoidRows` undoes rows that are durable.
 */
export class Segments {
  readonly kind: SegmentKind
  readonly #files: Files
  readonly #header: Uint8Array
  readonly #codec: RowCodec
  readonly #list: SegmentList
  readonly #readers: SegmentReaders
  readonly #abandoned: AbandonedSegments
  readonly #voids: VoidRows
  readonly #writer: SegmentWriter
  readonly #damage: Cursor[] = []

  constructor({ files, storeId, logger, kind = SMALL_ROWS, segmentBytes = kind.segmentBytes }: SegmentsOptions) {
    const log = logger.forComponent('dfs:disk:segments')
    this.kind = kind
    this.#files = files
    this.#header = segmentHeader(kind, storeId)
    this.#list = new SegmentList(kind)
    this.#codec = new RowCodec(storeId)
    this.#readers = new SegmentReaders(files, log)
    const parts = { files, list: this.#list, codec: this.#codec, log }
    this.#abandoned = new AbandonedSegments({ ...parts, readers: this.#readers })
    this.#voids = new VoidRows(parts)
    const undo = { abandoned: this.#abandoned, voids: this.#voids }
    this.#writer = new SegmentWriter({ ...parts, ...undo, kind, header: this.#header, segmentBytes })
  }

  /**
   * Lists the segments, checks that they belong to this store, and cuts a torn row off the last one. The bodies of rows
   * before `durableUntil` are not read, because they were durable once.
   */
  async open(durableUntil?: Cursor): Promise<void> {
    const { folder, base } = this.kind
    await this.#files.makeDirectory(folder)
    await this.#files.syncDirectory('')
    const names = await this.#files.list(folder)
    const segments = names.map(name => segmentOf(this.kind, name)).filter(segment => segment !== undefined)
    segments.sort((a, b) => a - b)
    for (const segment of segments) await this.#openOne(segment, segment === segments.at(-1))
    const { last } = this.#list
    const isWhole = async (row: PlacedRow): Promise<boolean> =>
      (durableUntil !== undefined && isBefore(row.place, durableUntil)) || this.#hasWholeBody(row)
    if (last > base) await this.#writer.resume(last, this.#rowsOf(last, headerBytes(this.kind)), isWhole)
    // A killed process may have left names unsynced. From here on they count as durable, so they are synced now.
    await this.#files.syncDirectory(folder)
  }

  async close(): Promise<void> {
    await this.#writer.close()
    this.#readers.close()
  }

  /** The end of the segments: the next row is written at this position or later. Every row before it is durable. */
  get end(): Cursor {
    return this.#list.end
  }

  /** Segments that `open` found without an intact header. */
  get damage(): readonly Cursor[] {
    return this.#damage
  }

  /** The number of durable bytes in all segments together. */
  get bytes(): number {
    return this.#list.bytes
  }

  has(segment: number): boolean {
    return this.#list.has(segment)
  }

  /** Segments that are longer than a header, oldest first. */
  segmentsWithRows(): number[] {
    return this.#list.withRows
  }

  /** Segments that may be removed once nothing in them is needed any more, oldest first. */
  closedSegments(): Array<{ segment: number; bytes: number }> {
    // The last segment is never included, even if it is closed: its number would be reused, and a cursor into it would
    // then point to another row.
    return this.#list.all
      .filter(segment => segment !== this.#list.last)
      .map(segment => ({ segment, bytes: this.#list.sizeOf(segment) }))
  }

  /** The segment to which rows are appended, and its bytes. */
  get lastSegment(): { segment: number; bytes: number } {
    const { last } = this.#list
    return { segment: last, bytes: this.#list.sizeOf(last) }
  }

  /** Ends the last segment and begins another one, so that the last one can be compacted. */
  async endLast(): Promise<void> {
    await this.#writer.endLast()
  }

  /**
   * Makes rows durable, in this order and next to each other unless a segment ends in between. Returns their places.
   */
  append(rows: Row[]): Promise<Place[]> {
    return this.#writer.append(rows)
  }

  /**
   * Makes durable rows void, so that no start counts them. Does not throw: `isUndone` says whether the disk refused it,
   * and then `retryUndo` tries again.
   */
  void(places: readonly Place[]): Promise<void> {
    return this.#voids.add(places)
  }

  /** True if no row of a failed write can come back at the next start. */
  get isUndone(): boolean {
    return !this.#voids.hasPending && !this.#abandoned.hasUncut
  }

  /** Makes rows of large blocks void and overwrites their bodies. All of it is durable when this resolves. */
  erase(segment: number, rows: readonly PlacedRow[]): Promise<void> {
    return eraseRows({ files: this.#files, codec: this.#codec }, segment, rows)
  }

  /** Tries again to undo writes that failed. Does not throw. */
  retryUndo(): Promise<void> {
    return this.#writer.retryUndo()
  }

  /** Returns the row at a place, without its body. Throws a `RowCorruptError` if it does not match its checksum, or is void. */
  async read({ segment, offset, length }: Place): Promise<Row> {
    const bytes = await this.#readers.read(segment, offset, ROW_HEADER_BYTES + length)
    const row = this.#codec.parse(bytes, 0, { segment, offset })
    if (row === undefined || row.isVoid || row.length !== length)
      throw new RowCorruptError(`the row in segment ${segment} at offset ${offset} does not match its checksum`)
    return row
  }

  /** Returns the row at a place, void or not and without its body, or undefined if it is damaged or gone. */
  async find({ segment, offset }: Place): Promise<PlacedRow | undefined> {
    if (!this.has(segment)) return undefined
    for await (const row of this.#rowsOf(segment, offset)) return row.place.offset === offset ? row : undefined
    return undefined
  }

  /**
   * Returns the payload and body at a place exactly as they are on the disk, except the first `skipBytes`, even if they
   * are damaged or cut short. This is for callers that have a better check.
   */
  readUnchecked({ segment, offset, length }: Place, skipBytes = 0): Promise<Uint8Array> {
    return this.#readers.read(segment, offset + ROW_HEADER_BYTES + skipBytes, length - skipBytes)
  }

  /** Returns false if the file of a segment has become too short for the row at this place. Reads nothing. */
  async isLongEnough({ segment, offset, length }: Place): Promise<boolean> {
    const bytes = await this.#files.size(segmentPath(segment))
    return bytes !== undefined && offset + ROW_HEADER_BYTES + length <= bytes
  }

  /**
   * Reads all rows from a cursor up to the current end of the segments, including void ones but not the footers. It
   * skips damaged bytes up to the next valid row and reports each such stretch to `onDamage`. It also reports a footer
   * that does not match the rows, and a missing footer.
   */
  async *scan(from: Cursor, onDamage?: (at: Cursor) => void): AsyncGenerator<PlacedRow> {
    for (const segment of this.#list.all) {
      if (segment < from.segment) continue
      yield* this.scanSegment(segment, segment === from.segment ? from.offset : 0, onDamage)
    }
  }

  /** Reads the rows of one segment from an offset on, like `scan`. */
  async *scanSegment(segment: number, offset = 0, onDamage?: (at: Cursor) => void): AsyncGenerator<PlacedRow> {
    const start = Math.max(offset, headerBytes(this.kind))
    const checksum = new SegmentChecksum()
    let isClosed = false
    let isDamaged = false
    const damaged = (at: Cursor): void => {
      isDamaged = true
      onDamage?.(at)
    }
    let end: Cursor = { segment, offset: start }
    for await (const row of this.#rowsOf(segment, start, damaged)) {
      if (row.type === FOOTER) {
        isClosed = true
        // The footer counts all rows of the segment, so it can be compared only if all of them were read.
        const isWhole = start > headerBytes(this.kind) || equalBytes(row.payload, checksum.payload)
        if (!isWhole && !isDamaged) onDamage?.(row.place)
        break
      }
      checksum.add(row.checksum)
      end = row.next
      yield row
    }
    // Every segment except the last got its footer before the next one began. If there is no footer, rows are missing
    // at the end.
    const needsFooter = segment !== this.#list.last && !this.#abandoned.has(segment)
    if (needsFooter && !isClosed && !isDamaged && this.has(segment)) onDamage?.(end)
  }

  /** Removes a segment in which nothing is needed any more. Its rows can still be read until `forgetRemoved`. */
  async remove(segment: number): Promise<void> {
    if (segment === this.#list.last) throw new RangeError('the last segment cannot be removed')
    await this.#readers.retire(segment)
    this.#list.remove(segment)
    this.#abandoned.forget(segment)
    await this.#files.remove(segmentPath(segment))
    await this.#files.syncDirectory(this.kind.folder)
  }

  /** Returns the space of removed segments to the disk. From now on they cannot be read. */
  forgetRemoved(): void {
    this.#readers.forgetRetired()
  }

  async #openOne(segment: number, isLast: boolean): Promise<void> {
    const size = (await this.#files.size(segmentPath(segment))) ?? 0
    const hasHeader = equalBytes(await this.#readers.read(segment, 0, this.#header.byteLength), this.#header)
    if (hasHeader || size > this.#header.byteLength) {
      this.#list.add(segment, size)
      if (hasHeader) return
      // If the header is damaged but a row has a checksum that is valid in this store, the segment is ours.
      if (!(await this.#hasRow(segment)))
        throw new UnknownLayoutError(
          'a segment in the data directory belongs to another store or version: give another --data-dir, or restore its format.json'
        )
    } else if (isLast) {
      // The process crashed while it created this segment, so there is no row in it.
      this.#readers.forget(segment)
      await this.#files.remove(segmentPath(segment))
      return
    }
    this.#damage.push({ segment, offset: 0 })
  }

  async #hasRow(segment: number): Promise<boolean> {
    for await (const _ of this.#rowsOf(segment, headerBytes(this.kind))) return true
    return false
  }

  /** Returns true unless the row has a body that is not what its name says, as after a torn write. */
  async #hasWholeBody({ type, isVoid, payload, place }: PlacedRow): Promise<boolean> {
    if (type !== ROW_LARGE_BLOCK || isVoid) return true
    const body = await this.readUnchecked(place, MULTIHASH_BYTES)
    const isWhole = verifyBlock(cidOfMultihash(payload), body)
    returnBuffer(body)
    return isWhole
  }

  #rowsOf(segment: number, start: number, onDamage?: (at: Cursor) => void): AsyncGenerator<PlacedRow> {
    return scanRows({
      segment,
      start,
      end: this.#list.sizeOf(segment),
      codec: this.#codec,
      read: (offset, length) => this.#readers.read(segment, offset, length),
      onDamage
    })
  }
}
