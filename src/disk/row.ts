import { crc32 } from 'node:zlib'
import { concatBytes, u32be } from '../util/bytes.ts'
import { LARGE_ROW_BYTES_MAX, MULTIHASH_BYTES, ROW_BYTES_MAX, ROW_LARGE_BLOCK } from './constants.ts'
import type { FilePiece } from './files.ts'
import type { Cursor, Place } from './place.ts'

/**
 * The unit that a segment stores under one checksum. The type says what the payload means (see `ROW_…` in
 * constants.ts).
 */
export interface Row {
  type: number
  payload: Uint8Array
  /**
   * Bytes that follow the payload and that the checksum does not cover, because the payload is their hash. Only a large
   * block has a body, and hashing it a second time would cost more than writing it.
   */
  body?: Uint8Array | undefined
}

/** A row as a codec reads it. */
export interface ParsedRow extends Pick<Row, 'type' | 'payload'> {
  /** The bytes of the payload and the body together. */
  length: number
  /** The checksum that the row was written with. It stays the same if the row is made void. */
  checksum: number
  /** True if the write of this row was refused after it had become durable. Such a row does not count. */
  isVoid: boolean
}

/** A row that was read from a segment. */
export interface PlacedRow extends ParsedRow {
  place: Place
  /** True if the row is void, and the bytes of its body have been overwritten. */
  isErased: boolean
  /** Where the row after it begins. */
  next: Cursor
}

type Sized = Pick<ParsedRow, 'type' | 'payload' | 'length'>

export const ROW_HEADER_BYTES = 13
/** Where the body of a row of a large block begins in the row. */
export const BODY_OFFSET: number = ROW_HEADER_BYTES + MULTIHASH_BYTES
/** Row type of the footer that closes a segment. All other types, up to 126, belong to the callers. */
export const FOOTER = 0xff
/**
 * This bit of the type makes a row void. The rest of the type says what the row was, so that a start can ask whether the
 * index holds it nevertheless.
 */
const VOID_BIT = 0x80
/** The offset in the header of the bytes that make a row void: its type and its checksum. */
const TYPE_OFFSET = 8
/** The first bytes of every row. A scan uses them to find the next row after a damaged stretch. */
export const ROW_MAGIC: Uint8Array = Uint8Array.of(0xdf, 0x5e, 0x6a, 0x01)

/**
 * Encodes and decodes rows. The bytes of one row are: magic (4) ‖ length of payload and body (4) ‖ type (1) ‖ checksum
 * (4) ‖ payload ‖ body.
 *
 * The checksum, a CRC-32, also covers the store id and the row's own place. A peer chooses the payload, and may put
 * bytes into it that look like rows. If the header before that payload were damaged or torn, a search for the next row
 * would find those bytes. Nobody outside knows the store id, so a peer can produce a row with a valid checksum only by
 * chance, with a probability of one in 2^32.
 */
export class RowCodec {
  readonly #seed: number

  constructor(storeId: Uint8Array) {
    this.#seed = crc32(storeId)
  }

  /** Returns the header that precedes the payload of a row at this place, and the checksum that the header contains. */
  header(row: Row, at: Cursor): { header: Uint8Array; checksum: number } {
    return this.#header({ ...row, length: rowLength(row) }, at)
  }

  #header({ type, payload, length }: Sized, at: Cursor): { header: Uint8Array; checksum: number } {
    const header = Buffer.allocUnsafe(ROW_HEADER_BYTES)
    header.set(ROW_MAGIC, 0)
    header.writeUInt32BE(length, 4)
    header.writeUInt8(type, 8)
    const checksum = this.#checksum(header.subarray(4, 9), payload, at)
    header.writeUInt32BE(checksum, 9)
    return { header, checksum }
  }

  /** Returns the bytes that make the row at this place void, and where in its segment they must be written. */
  void(row: Sized, at: Cursor): FilePiece {
    const { header } = this.#header({ ...row, type: row.type | VOID_BIT }, at)
    return { offset: at.offset + TYPE_OFFSET, bytes: header.subarray(TYPE_OFFSET) }
  }

  /**
   * Returns the row that begins at `offset` of `bytes`, or undefined if there is no valid row for this place. A body need
   * not be in `bytes`.
   */
  parse(bytes: Uint8Array, offset: number, at: Cursor): ParsedRow | undefined {
    const start = offset + ROW_HEADER_BYTES
    if (start > bytes.byteLength || !ROW_MAGIC.every((byte, i) => bytes[offset + i] === byte)) return undefined
    const view = new DataView(bytes.buffer, bytes.byteOffset + offset, ROW_HEADER_BYTES)
    const length = view.getUint32(4)
    const type = view.getUint8(TYPE_OFFSET)
    const hasBody = (type & ~VOID_BIT) === ROW_LARGE_BLOCK
    const end = start + (hasBody ? Math.min(length, MULTIHASH_BYTES) : length)
    if (length > (hasBody ? LARGE_ROW_BYTES_MAX : ROW_BYTES_MAX) || end > bytes.byteLength) return undefined
    const payload = bytes.subarray(start, end)
    const checksum = this.#checksum(bytes.subarray(offset + 4, offset + 9), payload, at)
    if (checksum !== view.getUint32(9)) return undefined
    if (type === FOOTER || (type & VOID_BIT) === 0) return { type, payload, length, checksum, isVoid: false }
    // The checksum of the segment was computed when the row was written. It must not change now.
    const row = { type: type & ~VOID_BIT, payload, length }
    return { ...row, checksum: this.#header(row, at).checksum, isVoid: true }
  }

  #checksum(lengthAndType: Uint8Array, payload: Uint8Array, { segment, offset }: Cursor): number {
    const place = concatBytes(u32be(segment), u32be(offset), lengthAndType)
    return crc32(payload, crc32(place, this.#seed))
  }
}

/** Returns the bytes of the payload and the body of a row together. */
export function rowLength({ payload, body }: Row): number {
  return payload.byteLength + (body?.byteLength ?? 0)
}

/**
 * The checksum of a segment, which its footer holds: the number of rows before the footer, and the sum of their
 * checksums.
 */
export class SegmentChecksum {
  rows = 0
  #sum = 0

  add(checksum: number): void {
    this.rows++
    this.#sum = (this.#sum + checksum) % 2 ** 32
  }

  copy(): SegmentChecksum {
    const checksum = new SegmentChecksum()
    checksum.rows = this.rows
    checksum.#sum = this.#sum
    return checksum
  }

  get payload(): Uint8Array {
    return concatBytes(u32be(this.rows), u32be(this.#sum))
  }
}
