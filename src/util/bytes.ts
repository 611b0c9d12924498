/** Small helpers for byte arrays. They allocate only where they must. */

/** Returns the same bytes as a Buffer, without a copy, for native functions that insist on one. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Compares bytewise, in the order of a database's keys. Returns -1, 0 or 1. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

/** Does not take constant time, so it must not be used for secrets. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
}

/** Returns lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('hex')
}

/** The first eight hex digits of an id, by which a log names it. */
export function shortHex(id: Uint8Array): string {
  return toHex(id.subarray(0, 4))
}

/**
 * Returns the bytes of hex text. Throws a `RangeError` for other text, where Buffer would silently stop at the first
 * mistake.
 */
export function fromHex(hex: string): Uint8Array {
  const bytes = Buffer.from(hex, 'hex')
  if (bytes.byteLength * 2 !== hex.length) throw new RangeError('not hex')
  return bytes
}

export function utf8(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts)
}

/** Returns the sum of the lengths of several slices. */
export function byteLengthOf(parts: readonly Uint8Array[]): number {
  let total = 0
  for (const part of parts) total += part.byteLength
  return total
}

export function u32be(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function u64be(value: bigint | number): Uint8Array {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
