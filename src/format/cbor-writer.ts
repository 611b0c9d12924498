import { CID, isShortCid, SHORT_CID_BYTES } from './cid.ts'
import { NESTING_MAX } from './constants.ts'

/** Writes the part of dag-cbor that `cbor.ts` does without the library. */

export const [UINT, NEGATIVE, BYTES, TEXT, LIST, MAP, TAG] = [0x00, 0x20, 0x40, 0x60, 0x80, 0xa0, 0xc0] as const
export const [FALSE, TRUE, NULL] = [0xf4, 0xf5, 0xf6] as const
/** What comes before the bytes of a CID: the tag 42, and the head and first byte of a byte string. */
export const LINK_HEAD: Uint8Array = Uint8Array.of(TAG | 24, 42, BYTES | 24, 1 + SHORT_CID_BYTES, 0)
/** Numbers below this one are part of the first byte. */
export const SMALL_MAX = 24
const HEAD_BYTES_MAX = 9
/** Longer keys are left to the library. */
export const KEY_LENGTH_MAX = SMALL_MAX - 1
/** Longer text is written or read by native code, which costs more to call. */
export const SHORT_TEXT_MAX = 24
export const BYTE_ORDER_MARK = 0xfeff

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
      else if (value instanceof CID) return writeLink(value)
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
export function isSpecial(key: string): boolean {
  return key === '/' || key === '__proto__'
}

/** Returns true if a key comes after another one. */
export function isAfter(a: string, b: string): boolean {
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

function writeLink({ bytes }: CID): boolean {
  if (!isShortCid(bytes)) return false
  reserve(LINK_HEAD.byteLength + SHORT_CID_BYTES)
  out.set(LINK_HEAD, end)
  out.set(bytes, end + LINK_HEAD.byteLength)
  end += LINK_HEAD.byteLength + SHORT_CID_BYTES
  return true
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

/**
 * Returns a view of some bytes. A copy would cost more: V8 keeps a small array in its own heap, and moves it out at the
 * first call of native code that needs its address.
 */
export function viewOf(bytes: Buffer, from: number, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + from, length)
}
