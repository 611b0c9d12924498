import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type KeyObject,
  timingSafeEqual
} from 'node:crypto'
import { takeBuffer } from '../util/buffer-pool.ts'
import { concatBytes, u32be, utf8 } from '../util/bytes.ts'
import { SEAL_OVERHEAD_BYTES } from './constants.ts'
import { SealError } from './errors.ts'
import { contentHash } from './hash.ts'

/**
 * The one seal: chunks, manifest nodes and entry bodies all go through here. The key of a text is a function of the
 * text itself (and of the epoch's subkey), so a key never meets a second text and the nonce can stay zero: there is no
 * counter to lose, equal chunks meet in one block, and a retry writes the same bytes. The construction is that of a
 * synthetic IV (RFC 5297) with a key commitment in front (Albertini et al., "How to Abuse and Fix Authenticated
 * Encryption Without Key Commitment", USENIX Security 2022). SPEC.md has it byte by byte.
 */

/** What is sealed, so that bytes of one sort never open as another. */
export type SealLabel = 'chunk' | 'node' | 'body'

/** Names every algorithm in the seal. Another choice is another suite. */
export const SUITE = `aes-256-gcm/hmac-sha-256/${contentHash.name}`

/** No salt: equal texts make equal blocks. */
export const NO_SALT: Uint8Array = new Uint8Array(0)

export const KEY_BYTES = 32
export const SIV_BYTES = 32
const COMMIT_BYTES = 32
const TAG_BYTES = 16
const ZERO_NONCE = new Uint8Array(12)
const CIPHER_SLICE_BYTES = 64 << 10

export interface Sealed {
  /** Commitment, ciphertext and tag. */
  bytes: Uint8Array
  /** 32 bytes that open it; a parent stores them. */
  key: Uint8Array
  /** The synthetic IV: 32 bytes that are equal only for equal text, label, salt and clear fields. */
  siv: Uint8Array
}

export interface SealOptions {
  label: SealLabel
  /** Clear fields that are bound to the text; empty for a chunk. */
  clear?: Uint8Array
  /** Empty, or 32 random bytes that make this text's block differ from any equal one. */
  salt?: Uint8Array
}

/** Makes a handle of a raw key; on Node 24 a raw Buffer costs more at each use than the cipher does on small texts. */
export function secretKey(raw: Uint8Array): KeyObject {
  return createSecretKey(raw)
}

/** Seals one padded text under a subkey of the epoch. Pure: the same input gives the same bytes. */
export function seal(subkey: KeyObject, padded: Uint8Array, options: SealOptions): Sealed {
  const aad = additionalData(options)
  const siv = syntheticIv(subkey, padded, aad, options)
  const key = deriveKey(subkey, siv)
  const keyObject = secretKey(key)
  const cipher = createCipheriv('aes-256-gcm', keyObject, ZERO_NONCE)
  cipher.setAAD(aad)
  const bytes = takeBuffer(padded.byteLength + SEAL_OVERHEAD_BYTES)
  bytes.set(commitment(keyObject), 0)
  // In slices that stay in the processor's cache: each fresh megabyte would cost more than the cipher does.
  for (let start = 0; start < padded.byteLength; start += CIPHER_SLICE_BYTES) {
    const slice = cipher.update(padded.subarray(start, start + CIPHER_SLICE_BYTES))
    bytes.set(slice, COMMIT_BYTES + start)
    letGo(slice)
  }
  cipher.final()
  bytes.set(cipher.getAuthTag(), COMMIT_BYTES + padded.byteLength)
  return { bytes, key, siv }
}

/**
 * Opens sealed bytes with the key that a parent stored. Nothing is returned before commitment and tag both hold; a
 * `SealError` if either does not.
 */
export function open(key: Uint8Array, bytes: Uint8Array, options: SealOptions): Uint8Array {
  if (key.byteLength !== KEY_BYTES) throw new SealError(`a key is ${KEY_BYTES} bytes`)
  return openWith(secretKey(key), bytes, additionalData(options))
}

/**
 * Opens a text whose siv is public, as an entry's body has it: the key is derived again, and afterwards the siv is
 * computed from what came out, so that no other text of the same key holder can stand in for it. A `SealError` as with
 * `open`.
 */
export function openBySiv(subkey: KeyObject, siv: Uint8Array, bytes: Uint8Array, options: SealOptions): Uint8Array {
  const aad = additionalData(options)
  if (siv.byteLength !== SIV_BYTES) throw new SealError(`a siv is ${SIV_BYTES} bytes`)
  const padded = openWith(secretKey(deriveKey(subkey, siv)), bytes, aad)
  if (!timingSafeEqual(siv, syntheticIv(subkey, padded, aad, options)))
    throw new SealError('text does not match its siv')
  return padded
}

/** The siv of a text without sealing it: the identity of content that travels inline. */
export function sivOf(subkey: KeyObject, padded: Uint8Array, options: SealOptions): Uint8Array {
  return syntheticIv(subkey, padded, additionalData(options), options)
}

/** HMAC-SHA-256 over parts that are each preceded by their length, so that no two lists of parts are alike. */
export function hmac(key: KeyObject, ...parts: readonly Uint8Array[]): Uint8Array {
  return createHmac('sha256', key).update(withLengths(parts)).digest()
}

// Gives memory back now that would otherwise wait for the collector, and make it come more often: the next slice lies
// where this one did. What shares its memory with others is left alone.
function letGo(slice: Buffer): void {
  if (slice.buffer.byteLength === slice.byteLength && slice.buffer instanceof ArrayBuffer) slice.buffer.transfer(0)
}

const SUITE_BYTES = utf8(SUITE)
const KEY_LABEL = utf8('key')
const COMMIT_LABEL = utf8('commit')
const LABELS: Record<SealLabel, Uint8Array> = { chunk: utf8('chunk'), node: utf8('node'), body: utf8('body') }

function additionalData({ label, clear = NO_SALT }: SealOptions): Uint8Array {
  return withLengths([LABELS[label], SUITE_BYTES, clear])
}

function withLengths(parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...parts.flatMap(part => [u32be(part.byteLength), part]))
}

function syntheticIv(
  subkey: KeyObject,
  padded: Uint8Array,
  aad: Uint8Array,
  { label, salt = NO_SALT }: SealOptions
): Uint8Array {
  return hmac(subkey, LABELS[label], SUITE_BYTES, salt, contentHash.digest(aad), contentHash.digest(padded))
}

function deriveKey(subkey: KeyObject, siv: Uint8Array): Uint8Array {
  return hmac(subkey, KEY_LABEL, siv)
}

function commitment(key: KeyObject): Uint8Array {
  return hmac(key, COMMIT_LABEL)
}

function openWith(key: KeyObject, bytes: Uint8Array, aad: Uint8Array): Uint8Array {
  if (bytes.byteLength < SEAL_OVERHEAD_BYTES) throw new SealError('sealed bytes are too short')
  if (!timingSafeEqual(bytes.subarray(0, COMMIT_BYTES), commitment(key)))
    throw new SealError('sealed bytes are not of this key')
  const decipher = createDecipheriv('aes-256-gcm', key, ZERO_NONCE)
  decipher.setAAD(aad)
  decipher.setAuthTag(bytes.subarray(bytes.byteLength - TAG_BYTES))
  const padded = decipher.update(bytes.subarray(COMMIT_BYTES, bytes.byteLength - TAG_BYTES))
  try {
    decipher.final()
  } catch (cause) {
    throw new SealError('sealed bytes were altered', { cause })
  }
  return padded
}
