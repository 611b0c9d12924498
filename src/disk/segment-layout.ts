import { utf8 } from '../util/bytes.ts'
import { ROW_HEADER_BYTES, SegmentChecksum } from './row.ts'

/** Where segments are stored, and what they begin and end with. SPEC.md, "Segments", specifies the bytes. */

export const SEGMENTS_FOLDER = 'segments'
export const SEGMENT_MAGIC: Uint8Array = utf8('DFSSEG1\n')
/** The magic and the store id. */
export const SEGMENT_HEADER_BYTES = 24
/**
 * The bytes that every closed segment holds besides its rows: its header, and the footer with the checksum of the rows.
 */
export const SEGMENT_OVERHEAD_BYTES: number =
  SEGMENT_HEADER_BYTES + ROW_HEADER_BYTES + new SegmentChecksum().payload.byteLength

export function segmentPath(segment: number): string {
  return `${SEGMENTS_FOLDER}/${String(segment).padStart(8, '0')}.seg`
}

/** Returns the number of a segment from the name of its file, or undefined for any other name. */
export function segmentOf(name: string): number | undefined {
  const match = /^(\d{8})\.seg$/.exec(name)
  return match === null ? undefined : Number(match[1])
}
