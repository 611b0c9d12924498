import * as dagCbor from '@ipld/dag-cbor'
import { equalBytes } from '../util/bytes.ts'
import { FormatError } from './errors.ts'

/**
 * Canonical dag-cbor: one value, one byte string. The decoder accepts unsorted keys, long integers and floats, so what
 * comes in is encoded again and compared. Signatures, ids and padding all lean on this.
 */

/** The one encoding of a value; a `FormatError` for what dag-cbor cannot say (undefined, NaN, a function). */
export function encodeCanonical(value: unknown): Uint8Array {
  try {
    return dagCbor.encode(value)
  } catch (cause) {
    throw new FormatError('not a value of dag-cbor', { cause })
  }
}

/** Decodes bytes that are exactly the canonical encoding of their value; anything else is a `FormatError`. */
export function decodeCanonical(bytes: Uint8Array): unknown {
  let value: unknown
  try {
    value = dagCbor.decode(bytes)
  } catch (cause) {
    throw new FormatError('not dag-cbor', { cause })
  }
  if (!equalBytes(encodeCanonical(value), bytes)) throw new FormatError('dag-cbor is not in its canonical form')
  return value
}
