import type { KeyObject } from 'node:crypto'
import { PATH_PART_BYTES_MAX } from '../format/constants.ts'
import type { EntryBody } from '../format/entry.ts'
import { nameFault } from '../format/path.ts'
import { hmac, secretKey } from '../format/seal.ts'
import { toHex, utf8 } from '../util/bytes.ts'
import { NAME_HASH_BYTES, TAG_DIGITS } from './constants.ts'

/** Hashes names for the index, with a key of the keystore, so that a stolen index does not reveal any name. */
export class Names {
  readonly #key: KeyObject

  constructor(key: Uint8Array) {
    this.#key = secretKey(key)
  }

  /** The bytes by which the index finds a name. The name must be in NFC. */
  hash(name: string): Uint8Array {
    return hmac(this.#key, utf8(name)).subarray(0, NAME_HASH_BYTES)
  }
}

/** The name under which an entry shows: its own, if that can be read and may be part of a path. */
export function shownName(body: EntryBody | undefined, entry: Uint8Array): string {
  return body === undefined || nameFault(body.name) !== undefined ? damagedName(entry) : body.name
}

/** The name under which an entry shows if its own cannot be read, or must not be part of a path. */
export function damagedName(entry: Uint8Array): string {
  return `damaged-${tagOf(entry)}`
}

/**
 * The name of a conflict. The id goes before the extension, so that programs still recognize the type. A name that
 * would grow too long loses its end.
 */
export function conflictName(name: string, id: Uint8Array): string {
  const tag = ` (conflict ${tagOf(id)})`
  const [, stem, extension = ''] = /^(.+?)(\.[^.]+)?$/s.exec(name) as unknown as [string, string, string | undefined]
  const room = PATH_PART_BYTES_MAX - utf8(tag).byteLength
  return utf8(stem + extension).byteLength <= room ? stem + tag + extension : cutTo(name, room) + tag
}

/** True for every name that `conflictName` makes, and for some others. */
export function isConflictName(name: string): boolean {
  return / \(conflict [0-9a-f]{8}\)/.test(name)
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

/** The first digits of an id, which are enough to tell a few apart. */
export function tagOf(id: Uint8Array): string {
  return toHex(id).slice(0, TAG_DIGITS)
}
