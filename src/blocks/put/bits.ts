import { NO_BYTES } from '../../util/bytes.ts'
import { Bitmap } from '../bitmap.ts'

/** The bytes of a bitmap of chunks. A put keeps bitmaps as their bytes, so that its state is plain data. */
export type Bits = Uint8Array

// A bitmap without bytes may be shared: setting a bit in it makes a new array.
export const NONE: Bits = NO_BYTES

/** Returns the bits with one more set. May change `bits` itself. */
export function withBit(bits: Bits, chunk: number): Bits {
  const bitmap = new Bitmap(bits)
  bitmap.add(chunk)
  return bitmap.bytes
}

/** Clears a bit, in `bits` itself, and returns them. */
export function withoutBit(bits: Bits, chunk: number): Bits {
  new Bitmap(bits).delete(chunk)
  return bits
}

export function hasBit(bits: Bits, chunk: number): boolean {
  return (((bits[chunk >>> 3] ?? 0) >>> (chunk & 7)) & 1) === 1
}

export function isEmpty(bits: Bits): boolean {
  return bits.every(byte => byte === 0)
}

export function and(a: Bits, b: Bits): Bits {
  return a.map((byte, i) => byte & (b[i] ?? 0))
}

export function andNot(a: Bits, b: Bits): Bits {
  return a.map((byte, i) => byte & ~(b[i] ?? 0))
}

export function or(a: Bits, b: Bits): Bits {
  const [long, short] = a.byteLength >= b.byteLength ? [a, b] : [b, a]
  return long.map((byte, i) => byte | (short[i] ?? 0))
}
