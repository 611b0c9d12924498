import { type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { BlockCid } from '../../format/cid.ts'
import { Claims } from '../hold/claims.ts'

/** Returns the index change by which a manifest node claims a block that it links to. */
export function referenceOf(cid: BlockCid, parent: Uint8Array): IndexOp {
  return Claims.reference(cid.multihash.bytes, { by: 'node', multihash: parent })
}

/** Returns the key of the mark that a record is still to be walked. */
export function unwalkedKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.unwalked, id)
}
