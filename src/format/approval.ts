import { wordlist } from '@scure/bip39/wordlists/english.js'
import { concatBytes, utf8 } from '../util/bytes.ts'
import { assertFixed } from './fixed.ts'
import { sha256 } from './hash.ts'

/**
 * A person lets a machine in by comparing a short code on two screens. This file computes the code, the commitment that
 * precedes it, and the words that stand for a network. The newcomer commits to its nonce before it learns the member's
 * nonce. So neither side can try values until the code is one that it wants, although a code has only 30 bits (commit,
 * then reveal: Vaudenay, "Secure Communications over Insecure Channels Based on Short Authenticated Strings", CRYPTO
 * 2005).
 */

/** One of the two machines. Both values have 32 bytes. */
export interface Side {
  /** The device key, Ed25519. */
  key: Uint8Array
  nonce: Uint8Array
}

export interface CodeFacts {
  /** The newcomer, which committed to its nonce. */
  dialler: Side
  /** The member that it asked. */
  listener: Side
  network: Uint8Array
}

/** The number of characters in an approval code. */
export const CODE_LENGTH = 6
/** The number of words that stand for a network. */
const NETWORK_WORDS = 6

const COMMIT_PREFIX = utf8('dfs/commit/1\0')
const CODE_PREFIX = utf8('dfs/code/1\0')
const WORDS_PREFIX = utf8('dfs/words/1\0')
const CODE_BITS_EACH = 5
const WORD_BITS_EACH = 11
/** The digits of base32 by Douglas Crockford: without I, L, O and U, which are easily taken for others. */
const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const CODE_FORM = new RegExp(`^[${CROCKFORD}]{${CODE_LENGTH}}$`)

/** Returns the commitment to a nonce of 32 bytes. Throws a `FormatError` for another length. */
export function commitOf(nonce: Uint8Array): Uint8Array {
  assertFixed({ nonce })
  return sha256.digest(concatBytes(COMMIT_PREFIX, nonce))
}

/**
 * Returns the code of one attempt, which both machines compute and show. It depends on both nonces, both devices and
 * the network. Throws a `FormatError` if a value does not have 32 bytes.
 */
export function approvalCode({ dialler, listener, network }: CodeFacts): string {
  const values = {
    dialler: dialler.nonce,
    listener: listener.nonce,
    diallerKey: dialler.key,
    listenerKey: listener.key,
    network
  }
  assertFixed(values)
  const digest = sha256.digest(concatBytes(CODE_PREFIX, ...Object.values(values)))
  return groupsOf(digest, CODE_BITS_EACH, CODE_LENGTH)
    .map(digit => CROCKFORD[digit])
    .join('')
}

/**
 * Reads a code that a person typed, and returns it as it is shown. Case, hyphens and white space do not matter, and the
 * letters O, I and L stand for the digits that they look like. Returns undefined for any other text.
 */
export function readCode(text: string): string | undefined {
  const code = text
    .replace(/[-\s]/g, '')
    .replace(/[a-z]/g, letter => letter.toUpperCase())
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1')
  return CODE_FORM.test(code) ? code : undefined
}

/**
 * Returns six English words that stand for a network, with blanks between them. They come from the word list of the
 * network key (BIP-39). Finding another network with the same words takes about 2^66 derivations of a key. Throws a
 * `FormatError` unless the id has 32 bytes.
 */
export function networkWords(network: Uint8Array): string {
  assertFixed({ network })
  const digest = sha256.digest(concatBytes(WORDS_PREFIX, network))
  return groupsOf(digest, WORD_BITS_EACH, NETWORK_WORDS)
    .map(index => wordlist[index])
    .join(' ')
}

/** Cuts the first bits of a digest into whole numbers of `bits` bits each, the highest bit first. */
function groupsOf(digest: Uint8Array, bits: number, count: number): number[] {
  return Array.from({ length: count }, (_, group) => {
    let value = 0
    for (let bit = group * bits; bit < (group + 1) * bits; bit++)
      value = (value << 1) | (((digest[bit >> 3] as number) >> (7 - (bit & 7))) & 1)
    return value
  })
}
