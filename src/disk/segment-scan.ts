import { asBuffer } from '../util/bytes.ts'
import { ROW_BYTES_MAX, SCAN_BYTES } from './constants.ts'
import type { Cursor } from './place.ts'
import { type PlacedRow, ROW_HEADER_BYTES, ROW_MAGIC, type RowCodec } from './row.ts'

export interface ScanOptions {
  segment: number
  /** Offsets of the first row, and of what lies behind the last. */
  start: number
  end: number
  codec: RowCodec
  read(offset: number, length: number): Promise<Uint8Array>
  /** Told once of each stretch in which no row stands. */
  onDamage?: ((at: Cursor) => void) | undefined
}

/** The rows of a segment in order, read in large pieces; a payload is valid until the next row is asked for. */
export async function* scanRows({
  segment,
  start,
  end: knownEnd,
  codec,
  read,
  onDamage
}: ScanOptions): AsyncGenerator<PlacedRow> {
  let end = knownEnd
  let piece: Buffer = Buffer.alloc(0)
  let base = start
  let offset = start
  let isLost = false
  while (offset < end) {
    const pieceEnd = base + piece.byteLength
    if (offset + ROW_HEADER_BYTES + ROW_BYTES_MAX > pieceEnd && pieceEnd < end) {
      base = offset
      const length = Math.min(SCAN_BYTES, end - base)
      piece = asBuffer(await read(base, length))
      // Somebody cut the file since it was opened.
      if (piece.byteLength < length) end = base + piece.byteLength
    }
    if (offset >= end) break
    const row = codec.parse(piece, offset - base, { segment, offset })
    if (row === undefined) {
      if (!isLost) onDamage?.({ segment, offset })
      isLost = true
      offset = nextMagic(piece, offset - base + 1) + base
      continue
    }
    isLost = false
    const place = { segment, offset, length: row.payload.byteLength }
    offset += ROW_HEADER_BYTES + row.payload.byteLength
    yield { ...row, place, next: { segment, offset } }
  }
  if (end < knownEnd && !isLost) onDamage?.({ segment, offset: end })
}

// Where the next row may begin: at a magic, or at the end of the piece if only a part of one is there.
function nextMagic(piece: Buffer, from: number): number {
  const found = piece.indexOf(ROW_MAGIC, from)
  return found >= 0 ? found : Math.max(from, piece.byteLength - ROW_MAGIC.byteLength + 1)
}
