import { MULTIHASH_BYTES } from '../../disk/constants.ts'
import { indexKey } from '../../disk/index-db.ts'
import type { StoredRow } from '../../disk/row-projection.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeReplicas } from '../../format/replicas.ts'
import { utf8 } from '../../util/bytes.ts'

/**
 * A reason why a block stays. A claimant needs the block. It is a record that names the block as its root, a manifest
 * node that links to it, or a put under way, whose claim expires. A claim is a row that exists or does not, never a
 * counter, so writing one twice is harmless.
 */
export type Claimant = RecordClaimant | { by: 'node'; multihash: Uint8Array } | { by: 'put'; put: PutId }

export interface RecordClaimant {
  by: 'record'
  /** The id of the record. */
  id: Uint8Array
  /** The number of copies that the record wants; `Infinity` for every member. */
  replicas: number
}

/** Identifies a put: the public key of its writer (32 bytes), then the number that the writer gave it (16 bytes). */
export type PutId = Uint8Array

const PUT_ID_BYTES = 48
export const LETTERS = { record: utf8('r'), node: utf8('m'), put: utf8('p') } as const

/** Reads a durable row of a claim of a put, which `Claims` specifies. */
export function parseRow({ payload, place }: StoredRow): {
  key: Uint8Array
  expires: Uint8Array
  place: StoredRow['place']
} {
  const multihash = payload.subarray(0, MULTIHASH_BYTES)
  const put = payload.subarray(MULTIHASH_BYTES, MULTIHASH_BYTES + PUT_ID_BYTES)
  return {
    key: claimKey(multihash, { by: 'put', put }),
    expires: payload.subarray(MULTIHASH_BYTES + PUT_ID_BYTES),
    place
  }
}

/** Returns the key of a claim in the index: the block, the kind of its claimant, and which one it is. */
export function claimKey(multihash: Uint8Array, claimant: Claimant): Uint8Array {
  const id = claimant.by === 'record' ? claimant.id : claimant.by === 'node' ? claimant.multihash : claimant.put
  return indexKey(TABLES.claims, multihash, LETTERS[claimant.by], id)
}

/** Returns the key under which a claim of a put is found by the time at which it expires. */
export function expiryKey(expires: Uint8Array, key: Uint8Array): Uint8Array {
  return indexKey(TABLES.expiries, expires, key)
}

/** Returns the time, by the wall clock, that is in the key of a claim of a put. */
export function timeOfExpiry(expires: Uint8Array): number {
  return Number(Buffer.from(expires).readBigUInt64BE())
}

/** Returns when a claim of a put expires, given its value in the index; 0 if there is none. */
export function expiryOf(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : timeOfExpiry(value.subarray(0, 8))
}

/** Returns the claimant in the rest of a claim's key, after the block. */
export function decodeClaimant(bytes: Uint8Array, value: Uint8Array): Claimant {
  const [letter, id] = [bytes[0], bytes.subarray(1)]
  if (letter === LETTERS.record[0])
    return { by: 'record', id, replicas: decodeReplicas(Buffer.from(value).readUInt32BE()) }
  return letter === LETTERS.node[0] ? { by: 'node', multihash: id } : { by: 'put', put: id }
}
