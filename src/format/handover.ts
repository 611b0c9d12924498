import { createCipheriv, createDecipheriv, createPublicKey, diffieHellman, hkdfSync, type KeyObject } from 'node:crypto'
import { concatBytes, fromHex, NO_BYTES, utf8 } from '../util/bytes.ts'
import { HANDOVER_BOX_BYTES } from './constants.ts'
import { FormatError, SealError } from './errors.ts'
import { assertFixed } from './fixed.ts'
import { privateKey, rawPublicKey } from './network-key.ts'

/**
 * The box of a handover: the key of one epoch, encrypted for one recipient. A fresh X25519 key is drawn for each box,
 * and the key of the cipher depends on it, so the nonce can be zero. Network, epoch and recipient are bound to the key,
 * so a box cannot be opened for any other.
 */

/** The facts to which a box is bound. All values have 32 bytes. */
export interface HandoverFacts {
  network: Uint8Array
  /** Id of the epoch. */
  epoch: Uint8Array
  /** The recipient's device key, or the public recovery key of the network. */
  recipient: Uint8Array
}

export interface SealHandoverFacts extends HandoverFacts {
  /** The recipient's public X25519 key. */
  x25519: Uint8Array
  epochKey: Uint8Array
}

export interface OpenHandoverFacts extends HandoverFacts {
  /** The recipient's private X25519 key. */
  x25519: KeyObject
}

const PUBLIC_KEY_BYTES = 32
const TAG_BYTES = 16
const LABEL = utf8('dfs/1/handover')
const ZERO_NONCE = new Uint8Array(12)
const X25519_SPKI = fromHex('302a300506032b656e032100')

/**
 * Encrypts an epoch's key for one recipient. `ephemeralSeed` is 32 random bytes, drawn for this box alone. Throws a
 * `FormatError` if a value has another length, or if the recipient's key is one of the few points for which the result
 * would be known to everyone.
 */
export function sealHandover(facts: SealHandoverFacts, ephemeralSeed: Uint8Array): Uint8Array {
  const { network, epoch, recipient, x25519, epochKey } = facts
  assertFixed({ network, epoch, recipient, x25519, epochKey, ephemeralSeed })
  const ephemeral = privateKey('x25519', ephemeralSeed)
  const ephemeralPublic = rawPublicKey(ephemeral)
  const shared = sharedSecret(ephemeral, x25519)
  if (shared === undefined)
    throw new FormatError('the X25519 key of this recipient is weak: anyone could compute the shared secret')
  const key = boxKey(shared, facts, ephemeralPublic, x25519)
  const cipher = createCipheriv('aes-256-gcm', key, ZERO_NONCE)
  return concatBytes(ephemeralPublic, cipher.update(epochKey), cipher.final(), cipher.getAuthTag())
}

/**
 * Opens a box and returns the epoch's key, 32 bytes. Throws a `SealError` if the box was altered, or made for another
 * network, epoch or recipient. The caller must still check that the key is that of the epoch, because whoever made the
 * box chose what it contains.
 */
export function openHandover(facts: OpenHandoverFacts, box: Uint8Array): Uint8Array {
  const { network, epoch, recipient, x25519 } = facts
  assertFixed({ network, epoch, recipient })
  if (box.byteLength !== HANDOVER_BOX_BYTES) throw new SealError('a handover has the wrong length')
  const ephemeralPublic = box.subarray(0, PUBLIC_KEY_BYTES)
  const shared = sharedSecret(x25519, ephemeralPublic)
  if (shared === undefined) throw new SealError('the key in a handover is weak: anyone could compute the shared secret')
  const key = boxKey(shared, facts, ephemeralPublic, rawPublicKey(x25519))
  const decipher = createDecipheriv('aes-256-gcm', key, ZERO_NONCE)
  decipher.setAuthTag(box.subarray(-TAG_BYTES))
  const epochKey = decipher.update(box.subarray(PUBLIC_KEY_BYTES, -TAG_BYTES))
  try {
    decipher.final()
  } catch (cause) {
    throw new SealError('a handover was altered, or made for another recipient', { cause })
  }
  return epochKey
}

/** Returns undefined if the secret would be all zeros, as it is for points of small order (RFC 7748, section 6.1). */
function sharedSecret(own: KeyObject, theirs: Uint8Array): Uint8Array | undefined {
  const key = concatBytes(X25519_SPKI, theirs)
  const publicKey = createPublicKey({ key: Buffer.from(key), format: 'der', type: 'spki' })
  try {
    return diffieHellman({ privateKey: own, publicKey })
  } catch {
    // OpenSSL refuses to derive such a secret. Both keys have the right type, so there is no other reason.
    return undefined
  }
}

function boxKey(
  shared: Uint8Array,
  { network, epoch, recipient }: HandoverFacts,
  ephemeralPublic: Uint8Array,
  staticPublic: Uint8Array
): Uint8Array {
  const info = concatBytes(LABEL, network, epoch, recipient, ephemeralPublic, staticPublic)
  return Buffer.from(hkdfSync('sha256', shared, NO_BYTES, info, 32))
}
