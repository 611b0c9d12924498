import { crc32 } from 'node:zlib'
import { LRUCache } from 'lru-cache'
import { Batcher } from '../util/batcher.ts'
import { concatBytes, equalBytes, u32be, utf8 } from '../util/bytes.ts'
import {
  COMMIT_BYTES_MAX,
  COMMIT_ROWS_MAX,
  OPEN_SEGMENTS_MAX,
  ROW_BYTES_MAX,
  SCAN_BYTES,
  SEGMENT_BYTES
} from './constants.ts'
import { RowCorruptError, UnknownLayoutError } from './errors.ts'
import type { AppendFile, Files, ReadFile } from './files.ts'

/** Where a row is: its segment, the offset of its header there, and the length of its payload. */
export interface Place {
  segment: number
  offset: number
  length: number
}

/** A position in the order in which rows were written. */
export interface Cursor {
  segment: number
  offset: number
}

export interface Row {
  type: number
  payload: Uint8Array
}

export interface PlacedRow extends Row {
  place: Place
  /** Where the row after it begins. */
  next: Cursor
}

/** Row type of the footer that closes a segment; all others are the callers'. */
export const FOOTER = 0xff

const FOLDER = 'segments'
const MAGIC = utf8('DFSSEG1\n')
const HEADER_BYTES = 24
const ROW_MAGIC = 0xdf5e6a01
const ROW_HEADER_BYTES = 13

export interface SegmentsOptions {
  files: Files
  /** 16 bytes that tell this store from any other. */
  storeId: Uint8Array
  /** Smaller ones for tests. */
  segmentBytes?: number
}

/** The segment being written: what is known to be durable, and what its footer will say. */
interface OpenSegment {
  segment: number
  file: AppendFile
  syncedSize: number
  rows: number
  sum: number
}

/**
 * Append-only files of rows, each with a checksum: statements, claims and small blocks. Everything that is asked for
 * while one commit is under way shares the next, and one fdatasync. A row is acknowledged only when it is durable;
 * after a crash the end of the last segment may hold a torn one, which is cut off at `open`.
 */
export class Segments {
  readonly #files: Files
  readonly #header: Uint8Array
  readonly #segmentBytes: number
  readonly #commits: Batcher<Row[], Place[]>
  readonly #readers: LRUCache<number, Promise<ReadFile>>
  readonly #sizes = new Map<number, number>()
  #current: OpenSegment | undefined

  constructor({ files, storeId, segmentBytes = SEGMENT_BYTES }: SegmentsOptions) {
    this.#files = files
    this.#segmentBytes = segmentBytes
    this.#header = concatBytes(MAGIC, storeId)
    this.#commits = new Batcher(groups => this.#commit(groups), {
      itemsMax: COMMIT_ROWS_MAX,
      bytesMax: COMMIT_BYTES_MAX,
      sizeOf: rows => rows.reduce((sum, row) => sum + row.payload.byteLength + ROW_HEADER_BYTES, 0)
    })
    this.#readers = new LRUCache<number, Promise<ReadFile>>({
      max: OPEN_SEGMENTS_MAX,
      dispose: reader => void reader.then(file => file.close()).catch(() => {})
    })
  }

  /** Lists the segments, checks whose they are, and cuts a torn row off the last one. */
  async open(): Promise<void> {
    await this.#files.makeDirectory(FOLDER)
    const segments = (await this.#files.list(FOLDER)).map(segmentOf).filter(segment => segment !== undefined)
    for (const segment of segments.sort((a, b) => a - b)) {
      const size = (await this.#files.size(pathOf(segment))) ?? 0
      const header = await this.#readBytes(segment, 0, HEADER_BYTES)
      if (size >= HEADER_BYTES && !equalBytes(header, this.#header)) {
        throw new UnknownLayoutError('a segment in this data directory belongs to another store or version')
      }
      // A crash while a segment was being made leaves less than a header: there was no row in it.
      if (size < HEADER_BYTES) await this.#removeFile(segment)
      else this.#sizes.set(segment, size)
    }
    const last = Math.max(0, ...this.#sizes.keys())
    if (last > 0) await this.#resume(last)
  }

  async close(): Promise<void> {
    await this.#commits.close()
    await this.#current?.file.close()
    this.#current = undefined
    this.#readers.clear()
  }

  /** Where the next row will be. */
  get end(): Cursor {
    const segment = Math.max(1, ...this.#sizes.keys())
    return { segment, offset: this.#sizes.get(segment) ?? HEADER_BYTES }
  }

  get bytes(): number {
    let total = 0
    for (const size of this.#sizes.values()) total += size
    return total
  }

  /** Segments that will not change any more, oldest first. */
  closedSegments(): Array<{ segment: number; bytes: number }> {
    return [...this.#sizes]
      .filter(([segment]) => segment !== this.#current?.segment)
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

  /** The payload at a place, checked against its checksum. */
  async read(place: Place): Promise<Row> {
    const bytes = await this.#readBytes(place.segment, place.offset, ROW_HEADER_BYTES + place.length)
    const row = parseRow(bytes, 0)
    if (row === undefined || row.payload.byteLength !== place.length) {
      throw new RowCorruptError(`segment ${place.segment}, offset ${place.offset}: row is damaged`)
    }
    return row
  }

  /**
   * All rows from a cursor on, footers left out, up to where the segments end now. Damaged bytes are passed over up to
   * the next row that stands, and reported to `onDamage`.
   */
  async *scan(from: Cursor, onDamage?: (at: Cursor) => void): AsyncGenerator<PlacedRow> {
    for (const segment of [...this.#sizes.keys()].sort((a, b) => a - b)) {
      if (segment < from.segment) continue
      const start = segment === from.segment ? Math.max(from.offset, HEADER_BYTES) : HEADER_BYTES
      for await (const row of this.#scanSegment(segment, start, onDamage)) if (row.type !== FOOTER) yield row
    }
  }

  /** Forgets a closed segment of which nothing is needed any more. */
  async remove(segment: number): Promise<void> {
    if (segment === this.#current?.segment) throw new RangeError('the segment being written cannot be removed')
    this.#sizes.delete(segment)
    await this.#removeFile(segment)
  }

  async #commit(groups: Row[][]): Promise<Place[][]> {
    const places: Place[][] = []
    let pending: Uint8Array[] = []
    let file = await this.#writable()
    let offset = file.syncedSize
    const flush = async (): Promise<void> => {
      if (pending.length === 0) return
      const bytes = concatBytes(...pending)
      pending = []
      try {
        await file.file.append(bytes)
        await file.file.sync()
      } catch (error) {
        await this.#abandon()
        throw error
      }
      file.syncedSize += bytes.byteLength
      this.#sizes.set(file.segment, file.syncedSize)
    }
    for (const rows of groups) {
      const group: Place[] = []
      for (const row of rows) {
        if (offset >= this.#segmentBytes) {
          await flush()
          await this.#closeCurrent()
          file = await this.#writable()
          offset = file.syncedSize
        }
        const header = rowHeader(row)
        pending.push(header, row.payload)
        group.push({ segment: file.segment, offset, length: row.payload.byteLength })
        offset += ROW_HEADER_BYTES + row.payload.byteLength
        file.rows++
        file.sum = (file.sum + header.readUInt32BE(9)) % 2 ** 32
      }
      places.push(group)
    }
    await flush()
    return places
  }

  // What a failed write or sync left behind is unknown, and a second fsync that succeeds proves nothing (the kernel may
  // have dropped the pages): the segment ends where it was last known to be good, and the next row begins a new one.
  async #abandon(): Promise<void> {
    const file = this.#current
    this.#current = undefined
    if (file === undefined) return
    await file.file.truncate(file.syncedSize).catch(() => {})
    await file.file.close().catch(() => {})
    this.#readers.delete(file.segment)
  }

  async #writable(): Promise<OpenSegment> {
    if (this.#current !== undefined) return this.#current
    const segment = Math.max(0, ...this.#sizes.keys()) + 1
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
    this.#current = { segment, file, syncedSize: HEADER_BYTES, rows: 0, sum: 0 }
    return this.#current
  }

  async #closeCurrent(): Promise<void> {
    const file = this.#current
    if (file === undefined) return
    this.#current = undefined
    const payload = concatBytes(u32be(file.rows), u32be(file.sum))
    const footer = concatBytes(rowHeader({ type: FOOTER, payload }), payload)
    await file.file.append(footer)
    await file.file.sync()
    await file.file.close()
    this.#sizes.set(file.segment, file.syncedSize + footer.byteLength)
  }

  // Opens the last segment for more: what stands of it is kept, a torn end is cut off.
  async #resume(segment: number): Promise<void> {
    let good = HEADER_BYTES
    let rows = 0
    let sum = 0
    let isClosed = false
    for await (const row of this.#scanSegment(segment, HEADER_BYTES)) {
      good = row.next.offset
      isClosed = row.type === FOOTER
      rows++
      sum = (sum + rowHeader(row).readUInt32BE(9)) % 2 ** 32
    }
    if (isClosed) return
    const file = await this.#files.openAppend(pathOf(segment))
    if (file.size > good) {
      await file.truncate(good)
      await file.sync()
      this.#readers.delete(segment)
    }
    this.#sizes.set(segment, good)
    this.#current = { segment, file, syncedSize: good, rows, sum }
  }

  async *#scanSegment(segment: number, start: number, onDamage?: (at: Cursor) => void): AsyncGenerator<PlacedRow> {
    const end = this.#sizes.get(segment) ?? 0
    let offset = start
    let buffer: Uint8Array = new Uint8Array(0)
    let base = start
    let isLost = false
    while (offset < end) {
      if (offset + ROW_HEADER_BYTES + ROW_BYTES_MAX > base + buffer.byteLength && base + buffer.byteLength < end) {
        base = offset
        buffer = await this.#readBytes(segment, base, Math.min(SCAN_BYTES, end - base))
        if (buffer.byteLength === 0) return
      }
      const row = parseRow(buffer, offset - base)
      if (row === undefined) {
        if (!isLost) onDamage?.({ segment, offset })
        isLost = true
        offset++
        continue
      }
      isLost = false
      const place = { segment, offset, length: row.payload.byteLength }
      offset += ROW_HEADER_BYTES + row.payload.byteLength
      yield { ...row, place, next: { segment, offset } }
    }
  }

  async #readBytes(segment: number, offset: number, length: number): Promise<Uint8Array> {
    let reader = this.#readers.get(segment)
    if (reader === undefined) {
      reader = this.#files.openRead(pathOf(segment))
      this.#readers.set(segment, reader)
      reader.catch(() => this.#readers.delete(segment))
    }
    return (await reader).read(offset, length)
  }

  async #removeFile(segment: number): Promise<void> {
    this.#readers.delete(segment)
    await this.#files.remove(pathOf(segment))
    await this.#files.syncDirectory(FOLDER)
  }
}

function pathOf(segment: number): string {
  return `${FOLDER}/${String(segment).padStart(8, '0')}.seg`
}

function segmentOf(name: string): number | undefined {
  const match = /^(\d{8})\.seg$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

// magic (4) ‖ length (4) ‖ type (1) ‖ crc32 of length, type and payload (4)
function rowHeader({ type, payload }: Row): Buffer {
  const header = Buffer.allocUnsafe(ROW_HEADER_BYTES)
  header.writeUInt32BE(ROW_MAGIC, 0)
  header.writeUInt32BE(payload.byteLength, 4)
  header.writeUInt8(type, 8)
  header.writeUInt32BE(crc32(payload, crc32(header.subarray(4, 9))), 9)
  return header
}

function parseRow(bytes: Uint8Array, offset: number): Row | undefined {
  if (offset + ROW_HEADER_BYTES > bytes.byteLength) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset)
  if (view.getUint32(0) !== ROW_MAGIC) return undefined
  const length = view.getUint32(4)
  const start = offset + ROW_HEADER_BYTES
  if (length > ROW_BYTES_MAX || start + length > bytes.byteLength) return undefined
  const payload = bytes.subarray(start, start + length)
  if (crc32(payload, crc32(bytes.subarray(offset + 4, offset + 9))) !== view.getUint32(9)) return undefined
  return { type: view.getUint8(8), payload }
}
