import * as dagCbor from '@ipld/dag-cbor'
import { decodePlain } from './cbor-reader.ts'
import { encodePlain } from './cbor-writer.ts'

export { decodePlain } from './cbor-reader.ts'
export { encodePlain } from './cbor-writer.ts'

/**
 * dag-cbor, byte for byte as the library `@ipld/dag-cbor` has it. Each statement, sealed body, row, manifest node and
 * header of a message is encoded or decoded several times, and the library takes several times as long as our code. Ours
 * knows only what nearly all values consist of: null, booleans, integers, bytes, text, links to blocks, lists, and maps
 * with short keys in ASCII. The library does everything else, and all that is malformed, so all rules and errors are its
 * own.
 */

/** Encodes a value. Throws the library's errors for values that dag-cbor cannot represent. */
export function encodeCbor(value: unknown): Uint8Array {
  return encodePlain(value) ?? dagCbor.encode(value)
}

/**
 * Decodes bytes. The byte strings in the result may be views of these bytes. Throws the library's errors for bytes that
 * are not dag-cbor.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  const plain = decodePlain(bytes)
  return plain === undefined ? dagCbor.decode(bytes) : plain
}
