import { concatBytes, utf8 } from '../util/bytes.ts'
import { LARGE_SEGMENT_BYTES, PAGE_BYTES, SEGMENT_BYTES } from './constants.ts'
import { ROW_HEADER_BYTES, SegmentChecksum } from './row.ts'

/** Where segments are stored, and what they begin and end with. SPEC.md, "Segments", specifies the bytes. */

/** What distinguishes the segments of large blocks from all others. */
export interface SegmentKind {
  folder: string
  /** The name under which the index keeps the cursor. */
  cursor: string
  /** The numbers of this kind begin after this one, so the number of a segment also says its kind. */
  base: number
  /** The header, each row and the footer are padded with zeros to a multiple of this. */
  unitBytes: number
  /** A segment is closed once it has this many bytes. */
  segmentBytes: number
  /** True if rows are written and read past the page cache. */
  isPastCache: boolean
  /** True if the bytes of dead rows are overwritten. That takes a row that is whole without its body, and whole pages. */
  isErased: boolean
}

/** Segments of statements, claims and small blocks. */
export const SMALL_ROWS: SegmentKind = {
  folder: 'segments',
  cursor: 'cursor',
  base: 0,
  unitBytes: 1,
  segmentBytes: SEGMENT_BYTES,
  isPastCache: false,
  isErased: false
}
/** Segments of large blocks. */
export const LARGE_ROWS: SegmentKind = {
  folder: 'blocks',
  cursor: 'large-cursor',
  base: 2 ** 31,
  unitBytes: PAGE_BYTES,
  segmentBytes: LARGE_SEGMENT_BYTES,
  isPastCache: true,
  isErased: true
}

const MAGIC = utf8('DFSSEG1\n')
const STORE_ID_BYTES = 16

export function kindOf(segment: number): SegmentKind {
  return segment > LARGE_ROWS.base ? LARGE_ROWS : SMALL_ROWS
}

/** Returns the first bytes of every segment of a store. */
export function segmentHeader(kind: SegmentKind, storeId: Uint8Array): Uint8Array {
  return concatBytes(MAGIC, storeId, paddingAfter(kind, MAGIC.byteLength + STORE_ID_BYTES))
}

export function headerBytes(kind: SegmentKind): number {
  return padded(kind, MAGIC.byteLength + STORE_ID_BYTES)
}

/** Returns the bytes that a row with a payload and body of this length takes. */
export function rowBytes(kind: SegmentKind, length: number): number {
  return padded(kind, ROW_HEADER_BYTES + length)
}

/** Returns the bytes that every closed segment holds besides its rows: its header and its footer. */
export function overheadBytes(kind: SegmentKind): number {
  return headerBytes(kind) + rowBytes(kind, new SegmentChecksum().payload.byteLength)
}

/** Returns the zeros that follow this many bytes. */
export function paddingAfter(kind: SegmentKind, bytes: number): Uint8Array {
  return ZEROS.subarray(0, padded(kind, bytes) - bytes)
}

export function segmentPath(segment: number): string {
  const { folder, base } = kindOf(segment)
  return `${folder}/${String(segment - base).padStart(8, '0')}.seg`
}

/** Returns the number of a segment from the name of its file, or undefined for any other name. */
export function segmentOf({ base }: SegmentKind, name: string): number | undefined {
  const match = /^(\d{8})\.seg$/.exec(name)
  return match === null ? undefined : base + Number(match[1])
}

const ZEROS = new Uint8Array(PAGE_BYTES)

function padded({ unitBytes }: SegmentKind, bytes: number): number {
  return Math.ceil(bytes / unitBytes) * unitBytes
}
