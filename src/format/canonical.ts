import * as dagCbor from '@ipld/dag-cbor'
import { equalBytes } from '../util/bytes.ts'
import { decodePlain, encodePlain } from './cbor.ts'
import { CID } from './cid.ts'
import { NESTING_MAX } from './constants.ts'
import { FormatError } from './errors.ts'

/**
 * Canonical dag-cbor: each value has one encoding. Signatures, ids and padding all depend on this. Our own codec
 * (`cbor.ts`) accepts no other encoding. The library's decoder also accepts unsorted keys, long integers and floats, so
 * we encode each value that the library has decoded again, and compare the bytes.
 */

/**
 * Returns the one encoding of a value. Throws a `FormatError` for values that dag-cbor cannot represent (undefined,
 * NaN, a function).
 */
export function encodeCanonical(value: unknown): Uint8Array {
  const plain = encodePlain(value)
  if (plain !== undefined) return plain
  checkValue(value, 0)
  try {
    return dagCbor.encode(value)
  } catch (cause) {
    throw new FormatError('cannot encode a value that dag-cbor cannot represent', { cause })
  }
}

/**
 * Decodes bytes that are exactly the canonical encoding of their value. The byte strings in it may be views of these
 * bytes, which must not be changed any more. Throws a `FormatError` for any other bytes.
 */
export function decodeCanonical(bytes: Uint8Array): unknown {
  // It accepts nothing but the one encoding.
  const plain = decodePlain(bytes)
  if (plain !== undefined) return plain
  const value = decodeByLibrary(bytes)
  if (!equalBytes(encodeCanonical(value), bytes))
    throw new FormatError('the bytes are dag-cbor, but not in its canonical form')
  return value
}

/**
 * Decodes bytes that `encodeCanonical` wrote on this member and that a checksum protects. It does not encode the value
 * again for comparison. Throws a `FormatError` if the bytes are not dag-cbor at all.
 */
export function decodeOwn(bytes: Uint8Array): unknown {
  const plain = decodePlain(bytes)
  return plain === undefined ? decodeByLibrary(bytes) : plain
}

function decodeByLibrary(bytes: Uint8Array): unknown {
  try {
    return dagCbor.decode(bytes)
  } catch (cause) {
    throw new FormatError('the bytes are not dag-cbor', { cause })
  }
}

/**
 * Refuses values that the encoder would write but that members would not read back unchanged: text that the encoder
 * would repair or the decoder would shorten, a map that would be taken for a link, and nesting so deep that it may
 * overflow one member's stack but not another's.
 */
function checkValue(value: unknown, nesting: number): void {
  if (typeof value === 'string') checkText(value)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || value instanceof CID) return
  if (nesting === NESTING_MAX) throw new FormatError(`lists and maps are nested at most ${NESTING_MAX} deep`)
  if (Array.isArray(value)) {
    for (const item of value) checkValue(item, nesting + 1)
    return
  }
  const map = value as Record<string, unknown>
  if (map['/'] !== undefined && map['/'] !== null && map['/'] === map['bytes'])
    throw new FormatError('a map with the same value under "/" and "bytes" would be taken for a link')
  for (const key of Object.keys(map)) {
    checkText(key)
    checkValue(map[key], nesting + 1)
  }
}

function checkText(text: string): void {
  if (!text.isWellFormed()) throw new FormatError('text is not well-formed Unicode')
  // UTF-8 decoders take a leading U+FEFF for a byte order mark and drop it.
  if (text.startsWith(BYTE_ORDER_MARK)) throw new FormatError('text begins with U+FEFF')
}

export const BYTE_ORDER_MARK = '\ufeff'
