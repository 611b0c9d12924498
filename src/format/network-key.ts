import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto'
import { entropyToMnemonic, mnemonicToEntropy, validateMnemonic } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { fromHex, toHex } from '../util/bytes.ts'
import { FormatError } from './errors.ts'

/**
 * 32 random bytes from which a network is derived. Anyone who holds it owns the network. It is written as 24 words or 64
 * hex digits.
 */
export type NetworkKey = Uint8Array

export const NETWORK_KEY_BYTES = 32
const RECOVERY_WORDS = 24
const HEX_KEY = /^[0-9a-f]{64}$/
/** The words by which people know a network. */
const NAME_WORDS = 6

const ED25519_PKCS8 = fromHex('302e020100300506032b657004220420')
const X25519_PKCS8 = fromHex('302e020100300506032b656e04220420')

/** The keys that are derived from a network key, each with a label of its own (HKDF-SHA-256, RFC 5869). */
export interface NetworkSecrets {
  /** Signs the first grants. */
  root: KeyObject
  /** The id of the network, which never changes: the public half of `root`, 32 bytes. */
  network: Uint8Array
  /** The first epoch's key, 32 bytes. */
  epochKey: Uint8Array
  /** The X25519 recovery public key, 32 bytes. Every later epoch key is also encrypted to it. */
  recovery: Uint8Array
  /** The private half of `recovery`. It opens the handovers of later epochs for whoever has only the network key. */
  recoveryKey: KeyObject
}

/**
 * Derives the network from its key. The same key always yields the same network. Throws a `FormatError` unless the key
 * has 32 bytes.
 */
export function deriveNetwork(key: NetworkKey): NetworkSecrets {
  if (key.byteLength !== NETWORK_KEY_BYTES) throw new FormatError('a network key is 32 bytes')
  const root = privateKey('ed25519', derive(key, 'root'))
  const recoveryKey = privateKey('x25519', derive(key, 'recovery'))
  return {
    root,
    network: rawPublicKey(root),
    epochKey: derive(key, 'epoch 1'),
    recovery: rawPublicKey(recoveryKey),
    recoveryKey
  }
}

/** Returns the two subkeys of an epoch key: one seals content, the other the bodies of records. */
export function epochSubkeys(epochKey: Uint8Array): { content: Uint8Array; record: Uint8Array } {
  return { content: derive(epochKey, 'content'), record: derive(epochKey, 'record') }
}

/**
 * Parses a network key that comes from a file or a person: 64 hex digits or 24 words. White space and case do not
 * matter. Throws a `FormatError` for any other text.
 */
export function parseNetworkKey(text: string): NetworkKey {
  const words = keyWordsIn(text)
  const [first = ''] = words
  if (words.length === 1 && HEX_KEY.test(first)) return fromHex(first)
  const wrong = whatIsWrong(words)
  if (wrong !== undefined) throw new FormatError(wrong)
  return mnemonicToEntropy(words.join(' '), wordlist)
}

/**
 * Returns how many words of a network key are still to come, if a person types or pastes it line by line. 0 for a key in
 * hex digits.
 */
export function keyWordsMissing(text: string): number {
  const words = keyWordsIn(text)
  return words.some(word => HEX_KEY.test(word)) ? 0 : Math.max(0, RECOVERY_WORDS - words.length)
}

/** Returns the words of a text in lower case. The screen of `dfs network recovery` has a number before each word. */
function keyWordsIn(text: string): string[] {
  const words = text.trim().toLowerCase().split(/\s+/)
  return words.filter(word => word !== '' && !/^\d{1,2}[.):]?$/.test(word))
}

/** Returns why these words are no network key; undefined if they are one. No word is repeated, because they are secret. */
function whatIsWrong(words: readonly string[]): string | undefined {
  if (words.length < 2) return 'a network key is 64 hex digits or 24 words'
  const unknown = words.findIndex(word => !wordlist.includes(word))
  if (words.length !== RECOVERY_WORDS)
    return `these are ${words.length} words: a network key has ${RECOVERY_WORDS}${words.length === NAME_WORDS ? `, and the ${NAME_WORDS} that a network is known by are no key` : ''}`
  if (unknown !== -1) return `word ${unknown + 1} is not in the list of words: check its spelling`
  if (!validateMnemonic(words.join(' '), wordlist))
    return `all ${RECOVERY_WORDS} words are in the list, but they do not belong together: check their order, and each word`
  return undefined
}

/** Formats a network key as 64 hex digits. */
export function formatNetworkKey(key: NetworkKey): string {
  return toHex(key)
}

/** Formats a network key as 24 English words (BIP-39), to be written on paper. `parseNetworkKey` reads them. */
export function networkKeyWords(key: NetworkKey): string {
  return entropyToMnemonic(key, wordlist)
}

/** Returns the private key that belongs to a 32-byte seed. RFC 8410 puts a fixed header before the seed. */
export function privateKey(type: 'ed25519' | 'x25519', seed: Uint8Array): KeyObject {
  const der = Buffer.concat([type === 'ed25519' ? ED25519_PKCS8 : X25519_PKCS8, seed])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

/** Returns the 32 raw bytes of the public half of a key. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
}

function derive(key: Uint8Array, label: string): Uint8Array {
  return Buffer.from(hkdfSync('sha256', key, new Uint8Array(0), `dfs/1/${label}`, 32))
}
