import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'

/**
 * The facts that the blocks room knows about a record: which blocks it refers to, and how many copies of them it wants.
 */
export interface RecordRef {
  /** The id of the record. */
  id: Uint8Array
  root: BlockCid
  /** The number of copies wanted; `Infinity` for every member. */
  replicas: number
  author: PeerId
}
