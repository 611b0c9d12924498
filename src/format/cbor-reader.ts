import { isUtf8 } from 'node:buffer'
import { asBuffer } from '../util/bytes.ts'
import {
  BYTE_ORDER_MARK,
  BYTES,
  FALSE,
  isAfter,
  isSpecial,
  KEY_LENGTH_MAX,
  LINK_HEAD,
  LIST,
  MAP,
  NEGATIVE,
  NULL,
  SHORT_TEXT_MAX,
  SMALL_MAX,
  TAG,
  TEXT,
  TRUE,
  UINT,
  viewOf
} from './cbor-writer.ts'
import { type CID, isShortCid, SHORT_CID_BYTES, shortCid } from './cid.ts'
import { NESTING_MAX } from './constants.ts'

/** Reads the part of dag-cbor that `cbor.ts` does without the library. */

const NOTHING = Buffer.alloc(0)

/** Thrown for bytes that are left to the library. It is one object, because the trace of an error costs a lot. */
const NOT_PLAIN = new Error('left to the library')

let source: Buffer = NOTHING
let at = 0

/**
 * Decodes bytes if they are the one encoding that `encodePlain` has for a value, and returns undefined for any others,
 * whether they are dag-cbor or not.
 */
export function decodePlain(bytes: Uint8Array): unknown {
  source = asBuffer(bytes)
  at = 0
  try {
    const value = readValue(0)
    return at === source.byteLength ? value : undefined
  } catch (error) {
    if (error === NOT_PLAIN) return undefined
    throw error
  } finally {
    source = NOTHING
  }
}

function readValue(nesting: number): unknown {
  const first = readByte()
  switch (first & 0xe0) {
    case UINT:
      return readCount(first)
    case NEGATIVE:
      return negative(readCount(first))
    case BYTES:
      return readBytes(readCount(first))
    case TEXT:
      return readText(readCount(first))
    case LIST:
      return readList(readCount(first), nesting)
    case MAP:
      return readMap(readCount(first), nesting)
    case TAG:
      return readLink()
  }
  if (first === NULL) return null
  if (first === TRUE || first === FALSE) return first === TRUE
  throw NOT_PLAIN
}

function negative(value: number): number {
  if (value === Number.MAX_SAFE_INTEGER) throw NOT_PLAIN
  return -1 - value
}

function readList(length: number, nesting: number): unknown[] {
  // Each item has at least one byte.
  if (nesting === NESTING_MAX || length > source.byteLength - at) throw NOT_PLAIN
  const list: unknown[] = []
  for (let i = 0; i < length; i++) list.push(readValue(nesting + 1))
  return list
}

function readMap(length: number, nesting: number): Record<string, unknown> {
  if (nesting === NESTING_MAX) throw NOT_PLAIN
  const map: Record<string, unknown> = {}
  let before = ''
  for (let i = 0; i < length; i++) {
    const key = readKey()
    if ((i > 0 && !isAfter(key, before)) || isSpecial(key)) throw NOT_PLAIN
    map[key] = readValue(nesting + 1)
    before = key
  }
  return map
}

function readKey(): string {
  const length = readByte() - TEXT
  if (length < 0 || length > KEY_LENGTH_MAX) throw NOT_PLAIN
  const stop = skip(length)
  let slot = length
  for (let i = stop - length; i < stop; i++) slot = (slot * 31 + (source[i] as number)) % KEYS_MAX
  const known = recentKeys[slot]
  if (known !== undefined && isAt(known, stop - length, length)) return known
  at -= length
  const key = readAscii(length)
  if (key === undefined) throw NOT_PLAIN
  recentKeys[slot] = key
  return key
}

function isAt(key: string, start: number, length: number): boolean {
  if (key.length !== length) return false
  for (let i = 0; i < length; i++) if (source[start + i] !== key.charCodeAt(i)) return false
  return true
}

/** Keys that were read, by a number that follows from their bytes. The same few keys occur again and again. */
const recentKeys: string[] = []
const KEYS_MAX = 512

/** Reads text of some bytes; returns undefined, and reads nothing, if it is not ASCII. */
function readAscii(length: number): string | undefined {
  const stop = skip(length)
  let text = ''
  for (let i = stop - length; i < stop; i++) {
    const code = source[i] as number
    if (code > 0x7f) {
      at = stop - length
      return undefined
    }
    text += String.fromCharCode(code)
  }
  return text
}

function readText(length: number): string {
  const short = length < SHORT_TEXT_MAX ? readAscii(length) : undefined
  if (short !== undefined) return short
  const stop = skip(length)
  if (!isUtf8(source.subarray(stop - length, stop))) throw NOT_PLAIN
  const text = source.toString('utf8', stop - length, stop)
  if (text.charCodeAt(0) === BYTE_ORDER_MARK) throw NOT_PLAIN
  return text
}

function readBytes(length: number): Uint8Array {
  return viewOf(source, skip(length) - length, length)
}

function readLink(): CID {
  const start = skip(LINK_BYTES - 1) - LINK_BYTES
  for (let i = 0; i < LINK_HEAD.byteLength; i++) if (source[start + i] !== LINK_HEAD[i]) throw NOT_PLAIN
  // A copy, so that a link that is kept does not keep a whole manifest node.
  const bytes = new Uint8Array(viewOf(source, at - SHORT_CID_BYTES, SHORT_CID_BYTES))
  if (!isShortCid(bytes)) throw NOT_PLAIN
  return shortCid(bytes)
}

const LINK_BYTES = LINK_HEAD.byteLength + SHORT_CID_BYTES

/** Returns the number in a head. There is one form for each number, the shortest. */
function readCount(first: number): number {
  const small = first & 0x1f
  if (small < SMALL_MAX) return small
  let count: number
  if (small === 24) count = readByte()
  else if (small === 25) count = source.readUInt16BE(skip(2) - 2)
  else if (small === 26) count = source.readUInt32BE(skip(4) - 4)
  else if (small === 27) count = source.readUInt32BE(skip(8) - 8) * 2 ** 32 + source.readUInt32BE(at - 4)
  else throw NOT_PLAIN
  if (count < (LEAST[small - 24] as number) || !Number.isSafeInteger(count)) throw NOT_PLAIN
  return count
}

/** The least number that needs 1, 2, 4 or 8 bytes. */
const LEAST = [SMALL_MAX, 2 ** 8, 2 ** 16, 2 ** 32]

function readByte(): number {
  if (at >= source.byteLength) throw NOT_PLAIN
  return source[at++] as number
}

/** Moves past some bytes, and returns where they end. */
function skip(bytes: number): number {
  at += bytes
  if (at > source.byteLength) throw NOT_PLAIN
  return at
}
