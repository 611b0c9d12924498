import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import { PATH_PART_BYTES_MAX } from '../format/constants.ts'
import type { EntryBody } from '../format/entry.ts'
import { nameFault } from '../format/path.ts'
import { hmac, secretKey } from '../format/seal.ts'
import { concatBytes, toHex, utf8 } from '../util/bytes.ts'
import { growingCache } from '../util/lru.ts'
import { NAME_HASH_BYTES, NAME_HASHES_MAX, TAG_DIGITS, TAG_DIGITS_MORE } from './constants.ts'

/** Sealed names have a multiple of this many bytes, so that a stolen index says little about their lengths. */
const PADDING_BYTES = 32
const CIPHER = 'aes-256-ctr'
/** The input of every hash that is not of a name begins with this, so that it never equals the hash of a name. */
const SEALED_BYTES = utf8('bytes')

/**
 * Hashes and seals names for the index with a key from the keystore, so that a stolen index does not reveal any names.
 * The hash finds a name. Thanks to the sealed name, a directory can be listed without opening the records of its
 * entries.
 */
export class Names {
  readonly #key: KeyObject
  readonly #cipherKey: KeyObject
  /**
   * Hashes are cached, because a change hashes each of its names several times: for two look-ups, and when it is
   * projected.
   */
  readonly #hashes = growingCache<string, Uint8Array>(NAME_HASHES_MAX)

  constructor(key: Uint8Array) {
    this.#key = secretKey(key)
    this.#cipherKey = secretKey(hmac(this.#key, utf8('names'), utf8('seal')))
  }

  /** Returns the bytes by which the index finds a name. The name must be in NFC. */
  hash(name: string): Uint8Array {
    let hash = this.#hashes.get(name)
    if (hash === undefined) {
      hash = hmac(this.#key, utf8(name)).subarray(0, NAME_HASH_BYTES)
      this.#hashes.set(name, hash)
    }
    return hash
  }

  /**
   * Seals a name. Its hash is the nonce: as in a synthetic IV (RFC 5297), equal names become equal bytes, and no nonce
   * is ever used for a second name.
   */
  seal(name: string, hash: Uint8Array): Uint8Array {
    const text = utf8(name)
    const padded = Buffer.alloc(Math.ceil(text.byteLength / PADDING_BYTES) * PADDING_BYTES)
    padded.set(text)
    return createCipheriv(CIPHER, this.#cipherKey, hash).update(padded)
  }

  /** Seals bytes of any length. As for a name, the nonce is a hash of what is sealed, and precedes it. */
  sealBytes(bytes: Uint8Array): Uint8Array {
    const nonce = hmac(this.#key, SEALED_BYTES, bytes).subarray(0, NAME_HASH_BYTES)
    return concatBytes(nonce, createCipheriv(CIPHER, this.#cipherKey, nonce).update(bytes))
  }

  /** Opens what `sealBytes` returned. The index has verified its checksum. */
  openBytes(sealed: Uint8Array): Uint8Array {
    const nonce = sealed.subarray(0, NAME_HASH_BYTES)
    return createDecipheriv(CIPHER, this.#cipherKey, nonce).update(sealed.subarray(NAME_HASH_BYTES))
  }

  /** Opens a sealed name. The index has verified its checksum. */
  open(sealed: Uint8Array, hash: Uint8Array): string {
    const padded = createDecipheriv(CIPHER, this.#cipherKey, hash).update(sealed)
    // A name has no NUL.
    const end = padded.indexOf(0)
    return padded.toString('utf8', 0, end === -1 ? undefined : end)
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
  return `damaged-${toHex(entry).slice(0, TAG_DIGITS)}`
}

/**
 * Returns the name under which a conflict is shown, with this many digits of an id. The id goes before the extension,
 * so that programs still recognize the type. If the result would be too long, the end of the name is cut off, and the
 * name has all digits of the id: the entry can then be found by its id, but not by what is left of its name.
 */
export function conflictName(name: string, id: Uint8Array, digits: number = TAG_DIGITS): string {
  const [, stem, extension = ''] = /^(.+?)(\.[^.]+)?$/s.exec(name) as unknown as [string, string, string | undefined]
  const whole = stem + conflictTag(id, digits) + extension
  if (utf8(whole).byteLength <= PATH_PART_BYTES_MAX) return whole
  const tag = conflictTag(id)
  return cutTo(name, PATH_PART_BYTES_MAX - utf8(tag).byteLength) + tag
}

/** Returns the names under which a conflict may be shown, the preferred one first, each with the digits in it. */
export function conflictNames(name: string, id: Uint8Array): Array<{ name: string; digits: string }> {
  const lengths = [TAG_DIGITS, TAG_DIGITS_MORE, 2 * id.byteLength]
  const names = lengths.map(digits => conflictName(name, id, digits))
  return [...new Set(names)].map(name => ({ name, digits: substitutesIn(name).at(-1)?.digits as string }))
}

/** A name that may be that of a conflict, taken apart. */
export interface Substitute {
  /** The name of the entry. If `isCut`, only its beginning. */
  base: string
  /** The digits of the id. */
  digits: string
  /** True if the name may have been cut, because it ends with the id. */
  isCut: boolean
}

/** Returns all ways in which a name may be that of a conflict. */
export function substitutesIn(name: string): Substitute[] {
  const found: Substitute[] = []
  for (const { 0: tag, 1: digits, index } of name.matchAll(/ \(conflict ([0-9a-f]{8,64})\)/g)) {
    const [stem, extension] = [name.slice(0, index), name.slice(index + tag.length)]
    if (stem === '' || !/^(\.[^.]+)?$/s.test(extension)) continue
    found.push({ base: stem + extension, digits: digits as string, isCut: extension === '' })
  }
  return found
}

/** Returns true for every name that `conflictName` or `damagedName` makes, and for some others. */
export function isSubstituteName(name: string): boolean {
  return / \(conflict [0-9a-f]{8,64}\)|^damaged-[0-9a-f]{8}$/.test(name)
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

function conflictTag(id: Uint8Array, digits: number = 2 * id.byteLength): string {
  return ` (conflict ${toHex(id).slice(0, digits)})`
}
