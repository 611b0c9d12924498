import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'

/** What a record needs of this room: its blocks, and how many copies of them. */
export interface RecordRef {
  /** Id of the record. */
  id: Uint8Array
  root: BlockCid
  /** Copies wanted; `Infinity` for every member. */
  replicas: number
  author: PeerId
}
