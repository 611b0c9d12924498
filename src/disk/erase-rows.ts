import type { FilePiece, Files } from './files.ts'
import { BODY_OFFSET, type PlacedRow, type RowCodec } from './row.ts'
import { kindOf, rowBytes, segmentPath } from './segment-layout.ts'

/** A piece of zeros is as long as what one buffer of a direct write takes. */
const ZEROS = new Uint8Array(1 << 20)

/**
 * Makes rows of large blocks void and overwrites their bodies with zeros. All of it is durable when this resolves. The
 * order matters, so each step is synced before the next one:
 *
 * 1. The rows become void. From here on no rebuild of the index takes them for blocks, whatever is left of them.
 * 2. Every page of the bodies but the first is overwritten.
 * 3. So is what the first page holds of the body. A scan reads only that page, and sees by it that the row is erased.
 *
 * After an error or a crash, call this again.
 */
export async function eraseRows(
  { files, codec }: { files: Files; codec: RowCodec },
  segment: number,
  rows: readonly PlacedRow[]
): Promise<void> {
  if (rows.length === 0) return
  const path = segmentPath(segment)
  const kind = kindOf(segment)
  const valid = rows.filter(row => !row.isVoid)
  if (valid.length > 0)
    await files.overwrite(
      path,
      valid.map(row => codec.void(row, row.place))
    )
  const bodies = rows.flatMap(({ place: { offset }, length }) =>
    zeros(offset + kind.unitBytes, offset + rowBytes(kind, length))
  )
  await files.overwrite(path, bodies, { isPastCache: kind.isPastCache })
  const beginnings = rows.flatMap(({ place: { offset } }) => zeros(offset + BODY_OFFSET, offset + kind.unitBytes))
  await files.overwrite(path, beginnings)
}

function zeros(start: number, end: number): FilePiece[] {
  const pieces: FilePiece[] = []
  for (let offset = start; offset < end; offset += ZEROS.byteLength)
    pieces.push({ offset, bytes: ZEROS.subarray(0, Math.min(ZEROS.byteLength, end - offset)) })
  return pieces
}
