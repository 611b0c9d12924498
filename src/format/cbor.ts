import { isUtf8 } from 'node:buffer'
import * as dagCbor from '@ipld/dag-cbor'
import { asBuffer } from '../util/bytes.ts'
import { NESTING_MAX } from './constants.ts'

/**
 * dag-cbor, byte for byte as the library `@ipld/dag-cbor` has it. Each statement, sealed body, row and header of a
 * message is encoded or decoded several times, and the library takes many times as long as this file. Here is only what
 * nearly all values consist of: null, booleans, integers, bytes, text, lists, and maps with short keys in ASCII. The
 * library does everything else, and everything that is malformed, so all rules and errors are its own.
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

const [UINT, NEGATIVE, BYTES, TEXT, LIST, MAP] = [0x00, 0x20, 0x40, 0x60, 0x80, 0xa0] as const
const [FALSE, TRUE, NULL] = [0xf4, 0xf5, 0xf6] as const
/** Numbers below this one are part of the first byte. */
const SMALL_MAX = 24
const HEAD_BYTES_MAX = 9
/** Longer keys are left to the library. */
const KEY_LENGTH_MAX = SMALL_MAX - 1
/** Longer text is written or read by native code, which costs more to call. */
const SHORT_TEXT_MAX = 24
const BYTE_ORDER_MARK = 0xfeff

let out = Buffer.allocUnsafeSlow(4096)
let end = 0

/**
 * Encodes a value that consists only of what this file knows; returns undefined for any other. Such a value can always
 * be read back unchanged: its text is well-formed and does not begin with U+FEFF, and it is not nested too deeply.
 */
export function encodePlain(value: unknown): Uint8Array | undefined {
  end = 0
  if (!writeValue(value, 0)) return undefined
  const encoded = Buffer.allocUnsafe(end)
  out.copy(encoded, 0, 0, end)
  return viewOf(encoded, 0, end)
}

function writeValue(value: unknown, nesting: number): boolean {
  switch (typeof value) {
    case 'string':
      return writeText(value)
    case 'number':
      if (!Number.isSafeInteger(value)) return false
      if (value < 0) writeHead(NEGATIVE, -1 - value)
      else writeHead(UINT, value)
      return true
    case 'boolean':
      writeByte(value ? TRUE : FALSE)
      return true
    case 'object':
      if (value === null) writeByte(NULL)
      else if (value instanceof Uint8Array) writeBytes(value)
      else return nesting < NESTING_MAX && (Array.isArray(value) ? writeList : writeMap)(value as never, nesting + 1)
      return true
    default:
      return false
  }
}

function writeList(list: readonly unknown[], nesting: number): boolean {
  writeHead(LIST, list.length)
  for (let i = 0; i < list.length; i++) if (!writeValue(list[i], nesting)) return false
  return true
}

function writeMap(map: Record<string, unknown>, nesting: number): boolean {
  const prototype = Object.getPrototypeOf(map)
  if (prototype !== Object.prototype && prototype !== null) return false
  const keys = Object.keys(map)
  sortKeys(keys)
  writeHead(MAP, keys.length)
  for (const key of keys) {
    if (isSpecial(key) || !writeKey(key) || !writeValue(map[key], nesting)) return false
  }
  return true
}

/** Sorts keys in ASCII by their encodings: by length, then by bytes. There are few, and they are often in order. */
function sortKeys(keys: string[]): void {
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i] as string
    let at = i
    for (; at > 0 && isAfter(keys[at - 1] as string, key); at--) keys[at] = keys[at - 1] as string
    keys[at] = key
  }
}

/** A map with the first key may be taken for a link, and JavaScript takes the second for something else. */
function isSpecial(key: string): boolean {
  return key === '/' || key === '__proto__'
}

function isAfter(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length
}

function writeKey(key: string): boolean {
  const { length } = key
  if (length > KEY_LENGTH_MAX) return false
  reserve(1 + length)
  out[end++] = TEXT | length
  for (let i = 0; i < length; i++) {
    const code = key.charCodeAt(i)
    if (code > 0x7f) return false
    out[end++] = code
  }
  return true
}

function writeText(text: string): boolean {
  const start = end
  if (text.length < SHORT_TEXT_MAX && writeKey(text)) return true
  end = start
  if (text.charCodeAt(0) === BYTE_ORDER_MARK || !text.isWellFormed()) return false
  const bytes = Buffer.byteLength(text)
  writeHead(TEXT, bytes)
  reserve(bytes)
  out.write(text, end, 'utf8')
  end += bytes
  return true
}

function writeBytes(bytes: Uint8Array): void {
  const { byteLength } = bytes
  writeHead(BYTES, byteLength)
  reserve(byteLength)
  out.set(bytes, end)
  end += byteLength
}

function writeByte(byte: number): void {
  reserve(1)
  out[end++] = byte
}

function writeHead(kind: number, count: number): void {
  reserve(HEAD_BYTES_MAX)
  if (count < SMALL_MAX) out[end++] = kind | count
  else if (count <= 0xff) {
    out[end++] = kind | 24
    out[end++] = count
  } else if (count <= 0xffff) {
    out[end++] = kind | 25
    end = out.writeUInt16BE(count, end)
  } else if (count <= 0xffffffff) {
    out[end++] = kind | 26
    end = out.writeUInt32BE(count, end)
  } else {
    out[end++] = kind | 27
    end = out.writeUInt32BE(Math.floor(count / 2 ** 32), end)
    end = out.writeUInt32BE(count % 2 ** 32, end)
  }
}

function reserve(bytes: number): void {
  if (end + bytes <= out.byteLength) return
  const grown = Buffer.allocUnsafeSlow(2 * (end + bytes))
  grown.set(out.subarray(0, end))
  out = grown
}

/** Thrown for bytes that are left to the library. It is one object, because the trace of an error costs a lot. */
const NOT_PLAIN = new Error('left to the library')

let source: Buffer = out
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
    source = out
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

/**
 * Returns a view of some bytes. A copy would cost more: V8 keeps a small array in its own heap, and moves it out at the
 * first call of native code that needs its address.
 */
function viewOf(bytes: Buffer, from: number, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + from, length)
}

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
