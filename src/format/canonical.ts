import * as dagCbor from '@ipld/dag-cbor'
import { equalBytes } from '../util/bytes.ts'
import { CID } from './cid.ts'
import { NESTING_MAX } from './constants.ts'
import { FormatError } from './errors.ts'

/**
 * Canonical dag-cbor: one value, one byte string. The decoder accepts unsorted keys, long integers and floats, so what
 * comes in is encoded again and compared. Signatures, ids and padding all lean on this.
 */

/** The one encoding of a value; a `FormatError` for what dag-cbor cannot say (undefined, NaN, a function). */
export function encodeCanonical(value: unknown): Uint8Array {
  checkValue(value, 0)
  try {
    return dagCbor.encode(value)
  } catch (cause) {
    throw new FormatError('not a value of dag-cbor', { cause })
  }
}

/** Decodes bytes that are exactly the canonical encoding of their value; anything else is a `FormatError`. */
export function decodeCanonical(bytes: Uint8Array): unknown {
  const value = decodeOwn(bytes)
  if (!equalBytes(encodeCanonical(value), bytes)) throw new FormatError('dag-cbor is not in its canonical form')
  return value
}

/**
 * Decodes what `encodeCanonical` wrote here, and whose bytes a checksum vouches for: half the work. A `FormatError` if
 * it is no dag-cbor at all.
 */
export function decodeOwn(bytes: Uint8Array): unknown {
  try {
    return dagCbor.decode(bytes)
  } catch (cause) {
    throw new FormatError('not dag-cbor', { cause })
  }
}

/**
 * Refuses what the encoder would write, and nobody read again as it was: text that is mended on the way in or cut on
 * the way out, a map that passes for a link, nesting on which the stacks of two members may not agree.
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
    throw new FormatError('a map that would be taken for a link')
  for (const key of Object.keys(map)) {
    checkText(key)
    checkValue(map[key], nesting + 1)
  }
}

function checkText(text: string): void {
  if (!text.isWellFormed()) throw new FormatError('text is not well-formed Unicode')
  // Decoders of UTF-8 take it for a byte order mark and drop it.
  if (text.startsWith(BYTE_ORDER_MARK)) throw new FormatError('text begins with U+FEFF')
}

export const BYTE_ORDER_MARK = '\ufeff'
