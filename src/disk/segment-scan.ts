import { asBuffer } from '../util/bytes.ts'
import { PAGE_BYTES, ROW_BYTES_MAX, SCAN_BYTES } from './constants.ts'
import type { Cursor } from './place.ts'
import { BODY_OFFSET, type PlacedRow, ROW_HEADER_BYTES, ROW_MAGIC, type RowCodec } from './row.ts'
import { kindOf, rowBytes, type SegmentKind } from './segment-layout.ts'

export interface ScanOptions {
  segment: number
  /** The offsets at which the first row begins and the last one ends. */
  start: number
  end: number
  codec: RowCodec
  read(offset: number, length: number): Promise<Uint8Array>
  /** Called once for each stretch that holds no valid row. */
  onDamage?: ((at: Cursor) => void) | undefined
}

/**
 * Reads the rows of a segment in order, in large pieces. In a segment of large blocks it reads only the first page of
 * each row, which has everything but the body. A payload is valid until the caller asks for the next row.
 */
export async function* scanRows({
  segment,
  start,
  end: knownEnd,
  codec,
  read,
  onDamage
}: ScanOptions): AsyncGenerator<PlacedRow> {
  const kind = kindOf(segment)
  const [pieceBytes, neededBytes] = kind.isPastCache
    ? [PAGE_BYTES, BODY_OFFSET]
    : [SCAN_BYTES, ROW_HEADER_BYTES + ROW_BYTES_MAX]
  let end = knownEnd
  let piece: Buffer = Buffer.alloc(0)
  let base = start
  let offset = start
  let isInDamage = false
  let isReadAgain = false
  while (offset < end) {
    const pieceEnd = base + piece.byteLength
    if (offset + neededBytes > pieceEnd && pieceEnd < end) {
      base = offset
      const length = Math.min(pieceBytes, end - base)
      piece = asBuffer(await read(base, length))
      // The file has become shorter since it was opened.
      if (piece.byteLength < length) end = base + piece.byteLength
    }
    if (offset >= end) break
    const row = codec.parse(piece, offset - base, { segment, offset })
    const next = offset + rowBytes(kind, row?.length ?? 0)
    if (row === undefined || next > end) {
      // The row may have been made void while it was read, so it is read again before it counts as damaged.
      if (!isInDamage && !isReadAgain) {
        isReadAgain = true
        piece = Buffer.alloc(0)
        base = offset
        continue
      }
      if (!isInDamage) onDamage?.({ segment, offset })
      isInDamage = true
      offset = nextMagic(piece, offset - base + 1, kind) + base
      continue
    }
    isInDamage = false
    isReadAgain = false
    const place = { segment, offset, length: row.length }
    const isErased =
      kind.isErased && row.isVoid && isZero(piece.subarray(offset - base + BODY_OFFSET, offset - base + kind.unitBytes))
    offset = next
    yield { ...row, place, isErased, next: { segment, offset } }
  }
  if (end < knownEnd && !isInDamage) onDamage?.({ segment, offset: end })
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every(byte => byte === 0)
}

// Returns the offset at which the next row may begin. This is the next magic, or an offset near the end of the piece,
// because the piece may end within a magic. A row of a large block begins a page.
function nextMagic(piece: Buffer, from: number, { unitBytes }: SegmentKind): number {
  if (unitBytes > 1) return Math.ceil(from / unitBytes) * unitBytes
  const next = piece.indexOf(ROW_MAGIC, from)
  return next >= 0 ? next : Math.max(from, piece.byteLength - ROW_MAGIC.byteLength + 1)
}
