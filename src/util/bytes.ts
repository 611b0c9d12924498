/** Small helpers for byte arrays. They allocate only where they must. */

export const NO_BYTES: Uint8Array = new Uint8Array(0)

/** Returns the same bytes as a Buffer, without a copy, for native functions that require one. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Native code compares or converts longer arrays faster. For shorter ones the call costs more than the work. */
const SHORT_BYTES = 64

/** Compares byte by byte, which is the order of keys in the database. Returns -1, 0 or 1. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.byteLength, b.byteLength)
  if (length > SHORT_BYTES) return Buffer.compare(a, b)
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference < 0 ? -1 : 1
  }
  return Math.sign(a.byteLength - b.byteLength)
}

/** Returns true if the bytes are equal. It does not run in constant time, so it must not be used for secrets. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && compareBytes(a, b) === 0
}

/** Returns the bytes as lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  if (Buffer.isBuffer(bytes)) return bytes.toString('hex')
  const { byteLength } = bytes
  if (byteLength > SHORT_BYTES) return asBuffer(bytes).toString('hex')
  // Making a Buffer of a small array costs several times as much as this copy.
  scratch.set(bytes)
  return scratch.toString('hex', 0, byteLength)
}

const scratch = Buffer.alloc(SHORT_BYTES)

/** Returns the first eight hex digits of an id, which is how log lines refer to it. */
export function shortHex(id: Uint8Array): string {
  return toHex(id.subarray(0, 4))
}

/**
 * Returns the bytes that hex text stands for. Throws a `RangeError` for other text, because Buffer would silently stop
 * at the first invalid digit.
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
  const all = Buffer.allocUnsafe(byteLengthOf(parts))
  let end = 0
  for (const part of parts) {
    all.set(part, end)
    end += part.byteLength
  }
  return all
}

/** Returns the total length of several byte arrays. */
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
