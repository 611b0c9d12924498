import { type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { BlockCid } from '../../format/cid.ts'
import { NO_BYTES } from '../../util/bytes.ts'
import { Claims } from '../hold/claims.ts'
import type { RecordRef } from '../record-ref.ts'

/**
 * Returns the index changes that claim a record's root and mark the record as still to be walked, in this order. They must
 * go into the batch that adds the record. The claim stays as long as the record, the mark until the walk is complete.
 */
export function recordReferenceOps({ id, root, replicas }: Pick<RecordRef, 'id' | 'root' | 'replicas'>): IndexOp[] {
  return [
    Claims.reference(root.multihash.bytes, { by: 'record', id, replicas }),
    { type: 'put', key: unwalkedKey(id), value: NO_BYTES }
  ]
}

/** Returns the key of a record's claim on its root. It stays as long as the record. */
export function recordReferenceKey({ id, root }: Pick<RecordRef, 'id' | 'root'>): Uint8Array {
  return Claims.reference(root.multihash.bytes, { by: 'record', id, replicas: 0 }).key
}

/** Returns the index change by which a manifest node claims a block that it links to. */
export function referenceOf(cid: BlockCid, parent: Uint8Array): IndexOp {
  return Claims.reference(cid.multihash.bytes, { by: 'node', multihash: parent })
}

/** Returns the key of the mark that a record is still to be walked. */
export function unwalkedKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.unwalked, id)
}
