import { concatBytes, utf8 } from '../util/bytes.ts'
import { assertFixed } from './fixed.ts'

/** The facts that the keys of a newcomer and of its invite both sign. Each value is 32 bytes long. */
export interface AdmitFacts {
  network: Uint8Array
  /** Id of the invite's statement. */
  invite: Uint8Array
  /** The newcomer's device key, Ed25519. */
  key: Uint8Array
  /** The newcomer's X25519 key, for which others encrypt. */
  x25519: Uint8Array
}

const PREFIX = utf8('dfs/admit/1\0')

/**
 * Returns the bytes that the key of an invite and the newcomer's device key both sign. The two signatures prove that
 * whoever holds the invite gave it to this device and to no other, and that the device has asked to be let in. Throws
 * a `FormatError` if a value has another length, because only fixed lengths keep the values apart.
 */
export function admitBytes({ network, invite, key, x25519 }: AdmitFacts): Uint8Array {
  assertFixed({ network, invite, key, x25519 })
  return concatBytes(PREFIX, network, invite, key, x25519)
}
