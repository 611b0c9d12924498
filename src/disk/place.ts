import { concatBytes, u32be } from '../util/bytes.ts'

/** A position in the order in which rows were written. */
export interface Cursor {
  segment: number
  offset: number
}

/** The position of a row: its segment, the offset of its header in it, and the length of its payload. */
export interface Place extends Cursor {
  length: number
}

export const PLACE_BYTES = 12

/** Returns a place in the form in which the index holds it: three numbers of 4 bytes each. */
export function encodePlace({ segment, offset, length }: Place): Uint8Array {
  return concatBytes(u32be(segment), u32be(offset), u32be(length))
}

export function decodePlace(bytes: Uint8Array): Place {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { segment: view.getUint32(0), offset: view.getUint32(4), length: view.getUint32(8) }
}

export function isSamePlace(a: Place, b: Place): boolean {
  return a.segment === b.segment && a.offset === b.offset
}

export function encodeCursor({ segment, offset }: Cursor): Uint8Array {
  return concatBytes(u32be(segment), u32be(offset))
}

export function decodeCursor(bytes: Uint8Array): Cursor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { segment: view.getUint32(0), offset: view.getUint32(4) }
}

/** Returns true if `a` is before `b` in the order in which rows were written. */
export function isBefore(a: Cursor, b: Cursor): boolean {
  return a.segment !== b.segment ? a.segment < b.segment : a.offset < b.offset
}
