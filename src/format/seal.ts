import {
  type CipherGCM,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type DecipherGCM,
  type KeyObject,
  timingSafeEqual
} from 'node:crypto'
import { takeBuffer } from '../util/buffer-pool.ts'
import { byteLengthOf, utf8 } from '../util/bytes.ts'
import { SEAL_OVERHEAD_BYTES } from './constants.ts'
import { SealError } from './errors.ts'
import { contentHash } from './hash.ts'

/**
 * Everything is sealed in the same way: chunks, manifest nodes and the bodies of entries. The key of a text is a
 * function of the text itself and of the epoch's subkey. So a key never seals a second text, and the nonce can always
 * be zero. There is no counter that could be lost, equal chunks become one block, and a retry writes the same bytes.
 * The construction is a synthetic IV (RFC 5297) with a key commitment in front (Albertini et al., "How to Abuse and Fix
 * Authenticated Encryption Without Key Commitment", USENIX Security 2022). SPEC.md specifies it byte by byte.
 */

/** The kind of text that is sealed. Bytes that were sealed under one label never open under another. */
export type SealLabel = 'chunk' | 'node' | 'body'

/** The name of the suite lists every algorithm in the seal. With other algorithms it would be another suite. */
export const SUITE = `aes-256-gcm/hmac-sha-256/${contentHash.name}`

/** Without a salt, equal texts become equal blocks. */
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
  /** The 32-byte key that opens it. The parent stores this key. */
  key: Uint8Array
  /** The synthetic IV: 32 bytes that are equal only if text, label, salt and clear fields are equal. */
  siv: Uint8Array
}

export interface SealOptions {
  label: SealLabel
  /** Clear fields that are bound to the text. Empty for a chunk. */
  clear?: Uint8Array
  /** Empty, or 32 random bytes that make this text's block differ from any equal one. */
  salt?: Uint8Array
}

/**
 * Returns a key object for a raw key. On Node 24, each use of a raw Buffer as a key costs more than encrypting a small
 * text.
 */
export function secretKey(raw: Uint8Array): KeyObject {
  return createSecretKey(raw)
}

/** Seals one padded text under a subkey of the epoch. The same input always results in the same bytes. */
export function seal(subkey: KeyObject, padded: Uint8Array, options: SealOptions): Sealed {
  const aad = additionalData(options)
  const siv = syntheticIv(subkey, padded, aad, options)
  const key = deriveKey(subkey, siv)
  const keyObject = secretKey(key)
  const cipher = createCipheriv('aes-256-gcm', keyObject, ZERO_NONCE)
  cipher.setAAD(aad.bytes)
  const bytes = takeBuffer(padded.byteLength + SEAL_OVERHEAD_BYTES)
  bytes.set(commitment(keyObject), 0)
  convert(cipher, padded, bytes.subarray(COMMIT_BYTES))
  cipher.final()
  bytes.set(cipher.getAuthTag(), COMMIT_BYTES + padded.byteLength)
  return { bytes, key, siv }
}

/**
 * Opens sealed bytes with the key that a parent stored. Throws a `SealError` if the commitment or the tag is wrong,
 * before any of the text is returned.
 */
export function open(key: Uint8Array, bytes: Uint8Array, options: SealOptions): Uint8Array {
  if (key.byteLength !== KEY_BYTES) throw new SealError(`a key is not ${KEY_BYTES} bytes long`)
  return openWith(secretKey(key), bytes, additionalData(options))
}

/**
 * Opens a text whose SIV is public, as it is for the body of an entry. It derives the key from the SIV, opens the text
 * and computes the SIV of the result, so that a holder of the subkey cannot substitute another text. Throws a
 * `SealError` like `open`.
 */
export function openBySiv(subkey: KeyObject, siv: Uint8Array, bytes: Uint8Array, options: SealOptions): Uint8Array {
  const aad = additionalData(options)
  if (siv.byteLength !== SIV_BYTES) throw new SealError(`a siv is not ${SIV_BYTES} bytes long`)
  const padded = openWith(secretKey(deriveKey(subkey, siv)), bytes, aad)
  if (!timingSafeEqual(siv, syntheticIv(subkey, padded, aad, options)))
    throw new SealError('a sealed text does not match its siv')
  return padded
}

/** Returns the SIV of a text without sealing it. It is the identity of inline content. */
export function sivOf(subkey: KeyObject, padded: Uint8Array, options: SealOptions): Uint8Array {
  return syntheticIv(subkey, padded, additionalData(options), options)
}

/**
 * Returns the HMAC-SHA-256 over a list of parts. Each part is preceded by its length, so that no two lists of parts
 * yield the same bytes.
 */
export function hmac(key: KeyObject, ...parts: readonly Uint8Array[]): Uint8Array {
  return createHmac('sha256', key).update(withLengths(parts)).digest()
}

/**
 * Encrypts or decrypts `from` into `into`, in slices that stay in the processor's cache, because touching a fresh
 * megabyte would cost more than the cipher.
 */
function convert(cipher: CipherGCM | DecipherGCM, from: Uint8Array, into: Uint8Array): void {
  for (let start = 0; start < from.byteLength; start += CIPHER_SLICE_BYTES) {
    const slice = cipher.update(from.subarray(start, start + CIPHER_SLICE_BYTES))
    into.set(slice, start)
    release(slice)
  }
}

// Frees memory immediately that would otherwise wait for the garbage collector and make it run more often. The next
// slice then gets the same memory. A slice that shares its memory with others is left alone.
function release(slice: Buffer): void {
  if (slice.buffer.byteLength === slice.byteLength && slice.buffer instanceof ArrayBuffer) slice.buffer.transfer(0)
}

const SUITE_BYTES = utf8(SUITE)
const KEY_LABEL = utf8('key')
const COMMIT_LABEL = utf8('commit')
const LABELS: Record<SealLabel, Uint8Array> = { chunk: utf8('chunk'), node: utf8('node'), body: utf8('body') }

/** What is bound to a text besides the text itself, and its hash once that has been needed. */
interface AdditionalData {
  bytes: Uint8Array
  hash?: Uint8Array
}

function additionalData({ label, clear = NO_SALT }: SealOptions): AdditionalData {
  if (clear.byteLength > 0) return { bytes: withLengths([LABELS[label], SUITE_BYTES, clear]) }
  WITHOUT_CLEAR[label] ??= { bytes: withLengths([LABELS[label], SUITE_BYTES, clear]) }
  return WITHOUT_CLEAR[label]
}

/** The same for every text without clear fields, such as all chunks. */
const WITHOUT_CLEAR: Partial<Record<SealLabel, AdditionalData>> = {}

function withLengths(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES * parts.length + byteLengthOf(parts))
  let end = 0
  for (const part of parts) {
    end = bytes.writeUInt32BE(part.byteLength, end)
    bytes.set(part, end)
    end += part.byteLength
  }
  return bytes
}

const LENGTH_BYTES = 4

function syntheticIv(
  subkey: KeyObject,
  padded: Uint8Array,
  aad: AdditionalData,
  { label, salt = NO_SALT }: SealOptions
): Uint8Array {
  aad.hash ??= contentHash.digest(aad.bytes)
  return hmac(subkey, LABELS[label], SUITE_BYTES, salt, aad.hash, contentHash.digest(padded))
}

function deriveKey(subkey: KeyObject, siv: Uint8Array): Uint8Array {
  return hmac(subkey, KEY_LABEL, siv)
}

function commitment(key: KeyObject): Uint8Array {
  return hmac(key, COMMIT_LABEL)
}

function openWith(key: KeyObject, bytes: Uint8Array, aad: AdditionalData): Uint8Array {
  if (bytes.byteLength < SEAL_OVERHEAD_BYTES) throw new SealError('sealed bytes are too short')
  if (!timingSafeEqual(bytes.subarray(0, COMMIT_BYTES), commitment(key)))
    throw new SealError('sealed bytes do not belong to this key')
  const decipher = createDecipheriv('aes-256-gcm', key, ZERO_NONCE)
  decipher.setAAD(aad.bytes)
  decipher.setAuthTag(bytes.subarray(bytes.byteLength - TAG_BYTES))
  const padded = takeBuffer(bytes.byteLength - SEAL_OVERHEAD_BYTES)
  convert(decipher, bytes.subarray(COMMIT_BYTES, bytes.byteLength - TAG_BYTES), padded)
  try {
    decipher.final()
  } catch (cause) {
    throw new SealError('sealed bytes were altered', { cause })
  }
  return padded
}
