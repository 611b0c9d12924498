import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'

/** A record as the blocks room knows it: which blocks it refers to, and how many copies of them it wants. */
export interface RecordRef {
  /** Id of the record. */
  id: Uint8Array
  root: BlockCid
  /** Copies wanted; `Infinity` for every member. */
  replicas: number
  author: PeerId
}
