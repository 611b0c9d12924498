import { BLOCK_BYTES_MAX, BODY_BYTES_MAX, BODY_BYTES_MIN, SEAL_OVERHEAD_BYTES } from './constants.ts'
import { FormatError } from './errors.ts'

/** The size of the field at the end of every padded text. The field holds the length of the text. */
const LENGTH_BYTES = 4

/**
 * Padmé: returns the smallest length, not below `length`, whose binary mantissa has no more bits than its exponent.
 * This adds at most 12 %, and a size then reveals only O(log log n) bits. Nikitin et al., "Reducing Metadata Leakage
 * from Encrypted Files and Communication with PURBs", PoPETs 2019, section 4. It uses integers, because JavaScript
 * engines need not agree on a logarithm. For lengths below 2^31.
 */
export function padme(length: number): number {
  if (length < 2) return length
  const exponent = floorLog2(length)
  const width = floorLog2(exponent) + 1
  const unit = 2 ** Math.max(0, exponent - width)
  return Math.ceil(length / unit) * unit
}

function floorLog2(value: number): number {
  return 31 - Math.clz32(value)
}

/** Returns the length of a padded chunk: the Padmé length of its text plus the length field. */
export function paddedChunkLength(length: number): number {
  return padme(length) + LENGTH_BYTES
}

/**
 * Returns true for the lengths that a sealed chunk may have. There are few such lengths, so the length alone nearly
 * always shows that a block was cut short.
 */
export function isSealedChunkLength(length: number): boolean {
  const padded = length - SEAL_OVERHEAD_BYTES - LENGTH_BYTES
  return padded > 0 && length <= BLOCK_BYTES_MAX && padme(padded) === padded
}

/** Returns the length of a padded body: 256 bytes, doubled until the text and the length field fit. */
export function paddedBodyLength(length: number): number {
  let size = BODY_BYTES_MIN
  while (size < length + LENGTH_BYTES) size *= 2
  if (size > BODY_BYTES_MAX)
    throw new FormatError(
      `name, content, target and properties have at most ${BODY_BYTES_MAX - LENGTH_BYTES} bytes together`
    )
  return size
}

/** Returns true for the lengths that a sealed body may have. Members that cannot open the body can still check this. */
export function isSealedBodyLength(length: number): boolean {
  const padded = length - SEAL_OVERHEAD_BYTES
  return padded >= BODY_BYTES_MIN && padded <= BODY_BYTES_MAX && paddedBodyLength(padded - LENGTH_BYTES) === padded
}

/**
 * Pads in place. `buffer` has `length` bytes of text at its start and is at least `padded` long. Zeros follow the text,
 * then its length as 32 bits, big-endian. Returns the padded part.
 */
export function padInPlace(buffer: Uint8Array, length: number, padded: number): Uint8Array {
  buffer.fill(0, length, padded - LENGTH_BYTES)
  new DataView(buffer.buffer, buffer.byteOffset + padded - LENGTH_BYTES, LENGTH_BYTES).setUint32(0, length)
  return buffer.subarray(0, padded)
}

/**
 * Returns the text of padded bytes, as a view. Only canonical padding is accepted, because the same text must always
 * produce the same block.
 */
export function unpad(bytes: Uint8Array, paddedLength: (length: number) => number): Uint8Array {
  if (bytes.byteLength < LENGTH_BYTES) throw new FormatError('a padded text is shorter than its length field')
  const length = new DataView(bytes.buffer, bytes.byteOffset + bytes.byteLength - LENGTH_BYTES, LENGTH_BYTES).getUint32(
    0
  )
  if (length > bytes.byteLength || paddedLength(length) !== bytes.byteLength)
    throw new FormatError('the length of a padded text does not match its length field')
  for (let i = length; i < bytes.byteLength - LENGTH_BYTES; i++) {
    if (bytes[i] !== 0) throw new FormatError('the padding of a text is not zero')
  }
  return bytes.subarray(0, length)
}
