import { Batcher } from '../util/batcher.ts'
import { byteLengthOf } from '../util/bytes.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { pushAll } from '../util/push-all.ts'
import { type AbandonedSegments, footerOf, type Unfinished } from './abandoned-segments.ts'
import { COMMIT_BYTES_MAX, COMMIT_ROWS_MAX, LARGE_ROW_BYTES_MAX, ROW_BYTES_MAX } from './constants.ts'
import { DiskError } from './errors.ts'
import type { AppendFile, Files } from './files.ts'
import type { Place } from './place.ts'
import { FOOTER, type PlacedRow, ROW_HEADER_BYTES, type Row, type RowCodec, rowLength, SegmentChecksum } from './row.ts'
import { headerBytes, paddingAfter, rowBytes, type SegmentKind, segmentPath } from './segment-layout.ts'
import type { SegmentList } from './segment-list.ts'
import type { VoidRows } from './void-rows.ts'

export interface SegmentWriterOptions {
  files: Files
  kind: SegmentKind
  list: SegmentList
  abandoned: AbandonedSegments
  voids: VoidRows
  codec: RowCodec
  /** The first bytes of every segment. */
  header: Uint8Array
  segmentBytes: number
  log: Logger
}

/** The segment that is being written. */
interface OpenSegment extends Unfinished {
  file: AppendFile
}

/**
 * Appends rows to the last segment, and begins the next one when it is full or after a failure. All rows that arrive
 * while one commit is under way share the next commit and its single fdatasync. A commit that fails leaves nothing
 * behind: its rows are cut off, or made void if they are in an earlier segment. As long as the disk refuses even that,
 * all later commits fail.
 */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions
  readonly #commits = new Batcher<Row[], Place[]>(groups => this.#commit(groups), {
    itemsMax: COMMIT_ROWS_MAX,
    bytesMax: COMMIT_BYTES_MAX,
    sizeOf: rows => rows.reduce((sum, row) => sum + rowLength(row) + ROW_HEADER_BYTES, 0)
  })
  #current: OpenSegment | undefined
  /** True if the next commit begins another segment. */
  #endsSoon = false

  constructor(options: SegmentWriterOptions) {
    this.#options = options
  }

  /**
   * Opens the last segment for more rows. `rows` are the rows that it already has, and `isWhole` says whether the body of
   * one is whole too. Cuts off a torn end. Torn rows before a whole one are made void.
   */
  async resume(
    segment: number,
    rows: AsyncIterable<PlacedRow>,
    isWhole: (row: PlacedRow) => Promise<boolean>
  ): Promise<void> {
    const { kind, list, voids, log } = this.#options
    let size = headerBytes(kind)
    let isClosed = false
    const checksum = new SegmentChecksum()
    const torn: Place[] = []
    let sinceWhole: PlacedRow[] = []
    for await (const row of rows) {
      sinceWhole.push(row)
      if (!(await isWhole(row))) continue
      size = row.next.offset
      isClosed = row.type === FOOTER
      for (const before of sinceWhole) {
        if (before !== row) torn.push(before.place)
        if (before.type !== FOOTER) checksum.add(before.checksum)
      }
      sinceWhole = []
      if (isClosed) break
    }
    const file = await this.#openAppend(segment)
    try {
      if (file.size > size) {
        log('cutting off a torn end of segment %d; bytes: %d', segment, file.size - size)
        await file.truncate(size)
      }
      await file.sync()
      list.resize(segment, size)
      await voids.add(torn)
      await this.#undoPending()
    } catch (error) {
      await this.#closeQuietly(file)
      throw error
    }
    if (isClosed) await file.close()
    else this.#current = { segment, file, size, checksum }
  }

  /**
   * Makes rows durable, in this order and next to each other unless a segment ends in between. Returns their places.
   */
  append(rows: Row[]): Promise<Place[]> {
    for (const row of rows) {
      const bytesMax = row.body === undefined ? ROW_BYTES_MAX : LARGE_ROW_BYTES_MAX
      if (rowLength(row) > bytesMax) throw new RangeError(`a row has at most ${bytesMax} bytes`)
    }
    return this.#commits.add(rows)
  }

  /** Begins another segment, although the last one is not full. */
  async endLast(): Promise<void> {
    this.#endsSoon = true
    await this.append([])
  }

  /** Tries again to undo failed writes that the disk refused to undo before. Does not throw. */
  async retryUndo(): Promise<void> {
    await this.#cutQuietly()
    await this.#options.voids.retry()
  }

  async close(): Promise<void> {
    await this.#commits.close()
    await this.#current?.file.close()
    this.#current = undefined
  }

  async #commit(groups: Row[][]): Promise<Place[][]> {
    const durable: Place[] = []
    try {
      return await this.#write(groups, durable)
    } catch (error) {
      await this.#options.voids.add(durable)
      throw error
    }
  }

  /** Writes the rows. Adds to `durable` the places that became durable in segments before the last one. */
  async #write(groups: Row[][], durable: Place[]): Promise<Place[][]> {
    const { codec, kind, segmentBytes } = this.#options
    const places: Place[][] = []
    let open = await this.#writable()
    if (this.#endsSoon && open.size > headerBytes(this.#options.kind)) {
      await this.#finish(open)
      open = await this.#writable()
    }
    this.#endsSoon = false
    let staged = new StagedRows(open, kind)
    for (const rows of groups) {
      const group: Place[] = []
      for (const row of rows) {
        if (staged.offset >= segmentBytes) {
          await this.#flush(open, staged)
          pushAll(durable, staged.places)
          await this.#finish(open)
          open = await this.#writable()
          staged = new StagedRows(open, kind)
        }
        group.push(staged.add(row, codec))
      }
      places.push(group)
    }
    await this.#flush(open, staged)
    return places
  }

  async #flush(open: OpenSegment, { parts, checksum }: StagedRows): Promise<void> {
    if (parts.length > 0) await this.#append(open, parts, checksum)
  }

  async #append(open: OpenSegment, parts: readonly Uint8Array[], checksum: SegmentChecksum): Promise<void> {
    try {
      await open.file.append(parts)
      await open.file.sync()
    } catch (error) {
      this.#current = undefined
      this.#options.abandoned.add(open)
      await this.#closeQuietly(open.file)
      await this.#cutQuietly()
      throw error
    }
    open.size += byteLengthOf(parts)
    open.checksum = checksum.copy()
    this.#options.list.resize(open.segment, open.size)
  }

  async #finish(open: OpenSegment): Promise<void> {
    await this.#append(open, footerOf(this.#options.codec, open), open.checksum)
    this.#current = undefined
    await open.file.close()
  }

  async #writable(): Promise<OpenSegment> {
    await this.#undoPending()
    if (this.#current !== undefined) return this.#current
    const { list, abandoned } = this.#options
    await abandoned.cutAll()
    await abandoned.finishAll()
    const segment = list.last + 1
    const file = await this.#create(segment)
    const size = file.size
    list.add(segment, size)
    this.#current = { segment, file, size, checksum: new SegmentChecksum() }
    await abandoned.discardEmpty()
    return this.#current
  }

  async #create(segment: number): Promise<AppendFile> {
    const { files, kind, header, log } = this.#options
    const path = segmentPath(segment)
    await files.remove(path)
    const file = await this.#openAppend(segment)
    try {
      await file.append([header])
      await file.sync()
      await files.syncDirectory(kind.folder)
    } catch (error) {
      await this.#closeQuietly(file)
      await files
        .remove(path)
        .catch(cause => log('could not remove unfinished segment %d: %s', segment, reasonOf(cause)))
      throw error
    }
    log('began segment %d', segment)
    return file
  }

  #openAppend(segment: number): Promise<AppendFile> {
    const { files, kind } = this.#options
    return files.openAppend(segmentPath(segment), { isPastCache: kind.isPastCache })
  }

  /** Throws as long as rows of an earlier write that failed may still come back at the next start. */
  async #undoPending(): Promise<void> {
    const { voids } = this.#options
    if (!voids.hasPending) return
    await voids.retry()
    if (voids.hasPending) throw new DiskError('the disk refuses to undo an earlier write: the system log may say why')
  }

  /** Cuts abandoned segments after an error that the caller reports. */
  async #cutQuietly(): Promise<void> {
    const { abandoned, log } = this.#options
    await abandoned
      .cutAll()
      .catch(error => log('could not cut off a failed write, so it may count after a restart: %s', reasonOf(error)))
  }

  /**
   * Closes a file after an error that the caller reports. An error of `close` adds nothing to that, so it is only
   * logged.
   */
  async #closeQuietly(file: AppendFile): Promise<void> {
    await file.close().catch(error => this.#options.log('could not close a segment: %s', reasonOf(error)))
  }
}

/** Rows that are written in one append, after those that a segment already has. */
class StagedRows {
  readonly parts: Uint8Array[] = []
  readonly places: Place[] = []
  readonly checksum: SegmentChecksum
  readonly #segment: number
  readonly #kind: SegmentKind
  /** Where the next row will begin. */
  offset: number

  constructor({ segment, size, checksum }: Unfinished, kind: SegmentKind) {
    this.#segment = segment
    this.#kind = kind
    this.offset = size
    this.checksum = checksum.copy()
  }

  add(row: Row, codec: RowCodec): Place {
    const length = rowLength(row)
    const place = { segment: this.#segment, offset: this.offset, length }
    const { header, checksum } = codec.header(row, place)
    this.parts.push(header, row.payload)
    if (row.body !== undefined) this.parts.push(row.body)
    if (this.#kind.unitBytes > 1) this.parts.push(paddingAfter(this.#kind, ROW_HEADER_BYTES + length))
    this.places.push(place)
    this.checksum.add(checksum)
    this.offset += rowBytes(this.#kind, length)
    return place
  }
}
