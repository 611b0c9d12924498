import type { BlockCid } from '../format/cid.ts'
import { REPLICAS_ALL } from '../format/entry.ts'
import type { PeerId } from '../format/peer-id.ts'

/** What the blocks room needs to know of a record: which blocks it refers to, and how many copies of them it wants. */
export interface RecordRef {
  /** Id of the record. */
  id: Uint8Array
  root: BlockCid
  /** Copies wanted; `Infinity` for every member. */
  replicas: number
  author: PeerId
}

/** Copies wanted, as rows of the index store them: they cannot hold `Infinity`. */
export function encodeReplicas(replicas: number): number {
  return Number.isFinite(replicas) ? replicas : REPLICAS_ALL
}

/** Copies wanted, from a row of the index. */
export function decodeReplicas(stored: number): number {
  return stored === REPLICAS_ALL ? Number.POSITIVE_INFINITY : stored
}
