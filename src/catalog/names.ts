import type { KeyObject } from 'node:crypto'
import { PATH_PART_BYTES_MAX } from '../format/constants.ts'
import type { EntryBody } from '../format/entry.ts'
import { nameFault } from '../format/path.ts'
import { hmac, secretKey } from '../format/seal.ts'
import { toHex, utf8 } from '../util/bytes.ts'
import { NAME_HASH_BYTES, TAG_DIGITS } from './constants.ts'

/** Hashes names for the index with a key from the keystore, so that a stolen index does not reveal any names. */
export class Names {
  readonly #key: KeyObject

  constructor(key: Uint8Array) {
    this.#key = secretKey(key)
  }

  /** Returns the bytes by which the index finds a name. The name must be in NFC. */
  hash(name: string): Uint8Array {
    return hmac(this.#key, utf8(name)).subarray(0, NAME_HASH_BYTES)
  }
}

/**
 * Returns the name under which an entry is shown: its own name if that can be read and may be part of a path, or else a
 * substitute.
 */
export function shownName(body: EntryBody | undefined, entry: Uint8Array): string {
  return body === undefined || nameFault(body.name) !== undefined ? damagedName(entry) : body.name
}

/** Returns the name under which an entry is shown if its own name cannot be read or must not be part of a path. */
export function damagedName(entry: Uint8Array): string {
  return `damaged-${tagOf(entry)}`
}

/**
 * Returns the name under which a conflict is shown. The id goes before the extension, so that programs still recognize
 * the type. If the result would be too long, the end of the name is cut off.
 */
export function conflictName(name: string, id: Uint8Array): string {
  const tag = ` (conflict ${tagOf(id)})`
  const [, stem, extension = ''] = /^(.+?)(\.[^.]+)?$/s.exec(name) as unknown as [string, string, string | undefined]
  const room = PATH_PART_BYTES_MAX - utf8(tag).byteLength
  return utf8(stem + extension).byteLength <= room ? stem + tag + extension : cutTo(name, room) + tag
}

/** Returns true for every name that `conflictName` or `damagedName` makes, and for some others. */
export function isSubstituteName(name: string): boolean {
  return / \(conflict [0-9a-f]{8}\)|^damaged-[0-9a-f]{8}$/.test(name)
}

function cutTo(text: string, bytes: number): string {
  let cut = ''
  let length = 0
  for (const character of text) {
    length += utf8(character).byteLength
    if (length > bytes) return cut
    cut += character
  }
  return cut
}

/** Returns the first digits of an id, which are enough to tell a few ids apart. */
export function tagOf(id: Uint8Array): string {
  return toHex(id).slice(0, TAG_DIGITS)
}
