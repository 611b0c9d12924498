import { Batcher } from '../util/batcher.ts'
import { byteLengthOf, concatBytes, equalBytes, utf8 } from '../util/bytes.ts'
import { COMMIT_BYTES_MAX, COMMIT_ROWS_MAX, ROW_BYTES_MAX, SEGMENT_BYTES } from './constants.ts'
import { RowCorruptError, UnknownLayoutError } from './errors.ts'
import type { AppendFile, Files } from './files.ts'
import type { Cursor, Place } from './place.ts'
import { type PlacedRow, ROW_HEADER_BYTES, type Row, RowCodec, SegmentChecksum } from './row.ts'
import { SegmentReaders } from './segment-readers.ts'
import { scanRows } from './segment-scan.ts'

/** Row type of the footer that closes a segment; all others are the callers'. */
export const FOOTER = 0xff

const FOLDER = 'segments'
const MAGIC = utf8('DFSSEG1\n')
const HEADER_BYTES = 24
/** What every segment holds beside its rows: its header, and its footer's row with the tally. */
export const SEGMENT_OVERHEAD_BYTES: number = HEADER_BYTES + ROW_HEADER_BYTES + new SegmentChecksum().payload.byteLength

export interface SegmentsOptions {
  files: Files
  /** 16 bytes that tell this store from any other, and that nobody outside may know. */
  storeId: Uint8Array
  /** Smaller ones for tests. */
  segmentBytes?: number
}

/** A segment without its footer: how much of it is known to be durable, and what of that the footer will say. */
interface Unfinished {
  segment: number
  size: number
  checksum: SegmentChecksum
}

/** The one that is being written. */
interface OpenSegment extends Unfinished {
  file: AppendFile
}

/**
 * Append-only files of rows, each with a checksum: statements, claims and small blocks. Everything that is asked for
 * while one commit is under way shares the next, and one fdatasync. A row is acknowledged only when it is durable; after
 * a crash the end of the last segment may hold a torn one, which is cut off at `open`. A row that was not acknowledged
 * may be there all the same.
 */
export class Segments {
  readonly #files: Files
  readonly #header: Uint8Array
  readonly #codec: RowCodec
  readonly #segmentBytes: number
  readonly #commits: Batcher<Row[], Place[]>
  readonly #readers: SegmentReaders
  readonly #sizes = new Map<number, number>()
  /** Those that were abandoned after an error and have no footer yet. */
  readonly #unfinished = new Map<number, Unfinished>()
  readonly #damage: Cursor[] = []
  #last = 0
  #current: OpenSegment | undefined

  constructor({ files, storeId, segmentBytes = SEGMENT_BYTES }: SegmentsOptions) {
    this.#files = files
    this.#segmentBytes = segmentBytes
    this.#header = concatBytes(MAGIC, storeId)
    this.#codec = new RowCodec(storeId)
    this.#readers = new SegmentReaders(files, pathOf)
    this.#commits = new Batcher(groups => this.#commit(groups), {
      itemsMax: COMMIT_ROWS_MAX,
      bytesMax: COMMIT_BYTES_MAX,
      sizeOf: rows => rows.reduce((sum, row) => sum + row.payload.byteLength + ROW_HEADER_BYTES, 0)
    })
  }

  /** Lists the segments, checks whose they are, and cuts a torn row off the last one. */
  async open(): Promise<void> {
    await this.#files.makeDirectory(FOLDER)
    await this.#files.syncDirectory('')
    const segments = (await this.#files.list(FOLDER)).map(segmentOf).filter(segment => segment !== undefined)
    for (const segment of segments.sort((a, b) => a - b)) {
      const size = (await this.#files.size(pathOf(segment))) ?? 0
      const hasHeader = equalBytes(await this.#readers.read(segment, 0, HEADER_BYTES), this.#header)
      if (hasHeader || size > HEADER_BYTES) {
        this.#sizes.set(segment, size)
        this.#last = segment
        if (hasHeader) continue
        // A damaged header is not enough to turn rows away that say themselves that they are ours.
        if (!(await this.#hasRow(segment))) {
          throw new UnknownLayoutError('a segment in this data directory belongs to another store or version')
        }
      } else if (segment === segments.at(-1)) {
        // A crash while it was being made: there was no row in it.
        this.#readers.forget(segment)
        await this.#files.remove(pathOf(segment))
        continue
      }
      this.#damage.push({ segment, offset: 0 })
    }
    if (this.#last > 0) await this.#resume(this.#last)
    // What a killed process left unsynced counts as durable from here on: so it has to be.
    await this.#files.syncDirectory(FOLDER)
  }

  async close(): Promise<void> {
    await this.#commits.close()
    await this.#current?.file.close()
    this.#current = undefined
    this.#readers.close()
  }

  /** Where the next row will be, or a place before it: every row before it is durable. */
  get end(): Cursor {
    return { segment: Math.max(1, this.#last), offset: this.#sizes.get(this.#last) ?? HEADER_BYTES }
  }

  /** Segments that were found at `open` without a header that is whole. */
  get damage(): readonly Cursor[] {
    return this.#damage
  }

  get bytes(): number {
    let total = 0
    for (const size of this.#sizes.values()) total += size
    return total
  }

  has(segment: number): boolean {
    return this.#sizes.has(segment)
  }

  /** Segments that are more than a header, oldest first. */
  segmentsWithRows(): number[] {
    return [...this.#sizes]
      .filter(([, bytes]) => bytes > HEADER_BYTES)
      .map(([segment]) => segment)
      .sort((a, b) => a - b)
  }

  /** Segments that may be removed once nothing in them is needed, oldest first. */
  closedSegments(): Array<{ segment: number; bytes: number }> {
    // Never the last one, closed or not: its number would be given again, and a cursor into it would mean another row.
    return [...this.#sizes]
      .filter(([segment]) => segment !== this.#last)
      .map(([segment, bytes]) => ({ segment, bytes }))
      .sort((a, b) => a.segment - b.segment)
  }

  /** Makes rows durable, in this order and next to each other unless a segment ends between; gives their places. */
  append(rows: Row[]): Promise<Place[]> {
    for (const { payload } of rows) {
      if (payload.byteLength > ROW_BYTES_MAX) throw new RangeError(`a row has at most ${ROW_BYTES_MAX} bytes`)
    }
    return this.#commits.add(rows)
  }

  /** The row at a place; a `RowCorruptError` if it does not match its checksum. */
  async read({ segment, offset, length }: Place): Promise<Row> {
    const bytes = await this.#readers.read(segment, offset, ROW_HEADER_BYTES + length)
    const row = this.#codec.parse(bytes, 0, { segment, offset })
    if (row === undefined || row.payload.byteLength !== length) {
      throw new RowCorruptError(`segment ${segment}, offset ${offset}: row is damaged`)
    }
    return row
  }

  /** The payload at a place as it is on the disk, damaged or cut short: for whoever has a better check of their own. */
  readUnchecked({ segment, offset, length }: Place): Promise<Uint8Array> {
    return this.#readers.read(segment, offset + ROW_HEADER_BYTES, length)
  }

  /**
   * All rows from a cursor on, footers left out, up to where the segments end now. Damaged bytes are passed over up to
   * the next row that stands, and reported to `onDamage`; so is a footer that tells of other rows, or is missing.
   */
  async *scan(from: Cursor, onDamage?: (at: Cursor) => void): AsyncGenerator<PlacedRow> {
    for (const segment of [...this.#sizes.keys()].sort((a, b) => a - b)) {
      if (segment < from.segment) continue
      yield* this.scanSegment(segment, segment === from.segment ? from.offset : 0, onDamage)
    }
  }

  /** The rows of one segment from an offset on, as with `scan`. */
  async *scanSegment(segment: number, offset = 0, onDamage?: (at: Cursor) => void): AsyncGenerator<PlacedRow> {
    const start = Math.max(offset, HEADER_BYTES)
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
        const isWhole = start > HEADER_BYTES || equalBytes(row.payload, checksum.payload)
        if (!isWhole && !isDamaged) onDamage?.(row.place)
        break
      }
      checksum.add(row.checksum)
      end = row.next
      yield row
    }
    // Each but the last got its footer before the next was begun: without one, rows are missing at its end.
    const isOver = isClosed || isDamaged || segment === this.#last || this.#unfinished.has(segment)
    if (!isOver && this.has(segment)) onDamage?.(end)
  }

  /** Removes a segment of which nothing is needed any more; who knows a place in it may read on for a while. */
  async remove(segment: number): Promise<void> {
    if (segment === this.#last) throw new RangeError('the last segment cannot be removed')
    await this.#readers.retire(segment)
    this.#sizes.delete(segment)
    this.#unfinished.delete(segment)
    await this.#files.remove(pathOf(segment))
    await this.#files.syncDirectory(FOLDER)
  }

  async #commit(groups: Row[][]): Promise<Place[][]> {
    const places: Place[][] = []
    let open = await this.#writable()
    let staged: Uint8Array[] = []
    let offset = open.size
    let checksum = open.checksum.copy()
    const flush = async (): Promise<void> => {
      if (staged.length > 0) await this.#append(open, staged, checksum)
      staged = []
    }
    for (const rows of groups) {
      const group: Place[] = []
      for (const row of rows) {
        if (offset >= this.#segmentBytes) {
          await flush()
          await this.#finish(open)
          open = await this.#writable()
          offset = open.size
          checksum = open.checksum.copy()
        }
        const { header, checksum: rowChecksum } = this.#codec.header(row, { segment: open.segment, offset })
        staged.push(header, row.payload)
        checksum.add(rowChecksum)
        group.push({ segment: open.segment, offset, length: row.payload.byteLength })
        offset += ROW_HEADER_BYTES + row.payload.byteLength
      }
      places.push(group)
    }
    await flush()
    return places
  }

  async #append(open: OpenSegment, parts: readonly Uint8Array[], checksum: SegmentChecksum): Promise<void> {
    try {
      await open.file.append(concatBytes(...parts))
      await open.file.sync()
    } catch (error) {
      await this.#abandon(open)
      throw error
    }
    open.size += byteLengthOf(parts)
    open.checksum = checksum.copy()
    this.#sizes.set(open.segment, open.size)
  }

  // What a failed write or sync left behind is unknown, and a second fsync that succeeds proves nothing (the kernel may
  // have dropped the pages): the segment ends where it was last known to be good, and the next row begins a new one.
  async #abandon({ segment, size, checksum, file }: OpenSegment): Promise<void> {
    this.#current = undefined
    this.#unfinished.set(segment, { segment, size, checksum })
    await file.close().catch(() => {})
  }

  async #finish(open: OpenSegment): Promise<void> {
    await this.#append(open, this.#footerOf(open), open.checksum)
    this.#current = undefined
    await open.file.close()
  }

  #footerOf({ segment, size, checksum }: Unfinished): Uint8Array[] {
    const { payload } = checksum
    return [this.#codec.header({ type: FOOTER, payload }, { segment, offset: size }).header, payload]
  }

  async #writable(): Promise<OpenSegment> {
    if (this.#current !== undefined) return this.#current
    for (const left of this.#unfinished.values()) await this.#finishAbandoned(left).catch(() => {})
    const segment = this.#last + 1
    await this.#files.remove(pathOf(segment))
    const file = await this.#files.openAppend(pathOf(segment))
    try {
      await file.append(this.#header)
      await file.sync()
      await this.#files.syncDirectory(FOLDER)
    } catch (error) {
      await file.close().catch(() => {})
      await this.#files.remove(pathOf(segment)).catch(() => {})
      throw error
    }
    this.#sizes.set(segment, HEADER_BYTES)
    this.#last = segment
    this.#current = { segment, file, size: HEADER_BYTES, checksum: new SegmentChecksum() }
    // Not before there is one behind it: else its number would be given again.
    for (const [empty, { checksum }] of this.#unfinished)
      if (checksum.rows === 0) await this.#discard(empty).catch(() => {})
    return this.#current
  }

  // One that was abandoned before there was a row in it.
  async #discard(segment: number): Promise<void> {
    await this.#files.remove(pathOf(segment))
    this.#readers.forget(segment)
    this.#sizes.delete(segment)
    this.#unfinished.delete(segment)
    await this.#files.syncDirectory(FOLDER)
  }

  // Once the disk writes again. If it still does not, the next segment is begun without it, or that fails too.
  async #finishAbandoned(left: Unfinished): Promise<void> {
    const file = await this.#files.openAppend(pathOf(left.segment))
    try {
      const footer = this.#footerOf(left)
      await file.truncate(left.size)
      for (const part of footer) await file.append(part)
      await file.sync()
      this.#sizes.set(left.segment, left.size + byteLengthOf(footer))
      if (left.checksum.rows > 0) this.#unfinished.delete(left.segment)
    } finally {
      await file.close()
    }
  }

  async #hasRow(segment: number): Promise<boolean> {
    for await (const _ of this.#rowsOf(segment, HEADER_BYTES)) return true
    return false
  }

  // Opens the last segment for more: what stands of it is kept, a torn end is cut off.
  async #resume(segment: number): Promise<void> {
    let size = HEADER_BYTES
    let isClosed = false
    const checksum = new SegmentChecksum()
    for await (const row of this.#rowsOf(segment, HEADER_BYTES)) {
      size = row.next.offset
      isClosed = row.type === FOOTER
      if (isClosed) break
      checksum.add(row.checksum)
    }
    const file = await this.#files.openAppend(pathOf(segment))
    try {
      if (file.size > size) await file.truncate(size)
      await file.sync()
    } catch (error) {
      await file.close().catch(() => {})
      throw error
    }
    this.#sizes.set(segment, size)
    if (isClosed) await file.close()
    else this.#current = { segment, file, size, checksum }
  }

  #rowsOf(segment: number, start: number, onDamage?: (at: Cursor) => void): AsyncGenerator<PlacedRow> {
    return scanRows({
      segment,
      start,
      end: this.#sizes.get(segment) ?? 0,
      codec: this.#codec,
      read: (offset, length) => this.#readers.read(segment, offset, length),
      onDamage
    })
  }
}

function pathOf(segment: number): string {
  return `${FOLDER}/${String(segment).padStart(8, '0')}.seg`
}

function segmentOf(name: string): number | undefined {
  const match = /^(\d{8})\.seg$/.exec(name)
  return match === null ? undefined : Number(match[1])
}
