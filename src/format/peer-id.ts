import { LRUCache } from 'lru-cache'
import { base58btc } from 'multiformats/bases/base58'
import { concatBytes, equalBytes, fromHex, toHex } from '../util/bytes.ts'
import { FormatError } from './errors.ts'

/**
 * The name of a member on the wire: its Ed25519 public key, as libp2p writes it (an identity multihash of the key's
 * protobuf, in base58btc). Members have no keys of other types.
 */
export type PeerId = string

const ED25519_PREFIX = fromHex('002408011220')
/**
 * The length of prefix and key in base58btc. Text of another length is not decoded, because decoding takes quadratic
 * time.
 */
const TEXT_LENGTH = 52
/**
 * Results are cached, because base58 takes longer than a hash and each put names some members several times. A network
 * has few members.
 */
const REMEMBERED_MAX = 1_024
const texts = new LRUCache<string, PeerId>({ max: REMEMBERED_MAX })
const keys = new LRUCache<PeerId, Uint8Array>({ max: REMEMBERED_MAX })

/** Returns the peer id of a public key (Ed25519, 32 raw bytes). */
export function peerIdOf(publicKey: Uint8Array): PeerId {
  const key = toHex(publicKey)
  let text = texts.get(key)
  if (text === undefined) {
    text = base58btc.baseEncode(concatBytes(ED25519_PREFIX, publicKey))
    texts.set(key, text)
  }
  return text
}

/**
 * Returns the 32 raw bytes of the public key in a peer id, which the caller must not change. Throws a `FormatError` if
 * the peer id contains any other type of key.
 */
export function publicKeyOf(peerId: PeerId): Uint8Array {
  const known = keys.get(peerId)
  if (known !== undefined) return known
  const key = decodeKey(peerId)
  keys.set(peerId, key)
  return key
}

function decodeKey(peerId: PeerId): Uint8Array {
  if (peerId.length !== TEXT_LENGTH) throw new FormatError('this is not the peer id of an Ed25519 key')
  let bytes: Uint8Array
  try {
    bytes = base58btc.baseDecode(peerId)
  } catch (cause) {
    throw new FormatError('this is not a peer id', { cause })
  }
  const prefix = bytes.subarray(0, ED25519_PREFIX.byteLength)
  if (bytes.byteLength !== ED25519_PREFIX.byteLength + 32 || !equalBytes(prefix, ED25519_PREFIX)) {
    throw new FormatError('this is not the peer id of an Ed25519 key')
  }
  return bytes.subarray(ED25519_PREFIX.byteLength)
}
