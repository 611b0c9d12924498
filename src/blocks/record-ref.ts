import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'

/** What the blocks room knows of a record: which blocks it refers to, and how many copies of them it wants. */
export interface RecordRef {
  /** The id of the record. */
  id: Uint8Array
  root: BlockCid
  /** The number of copies wanted; `Infinity` for every member. */
  replicas: number
  author: PeerId
  /**
   * True if the log has set the record aside. It does not count, so nothing has claimed its root. A later release may
   * count it, so its blocks are kept like those of any other record.
   */
  isAside?: boolean
}
