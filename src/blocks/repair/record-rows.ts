import { type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { BlockCid } from '../../format/cid.ts'
import { Claims } from '../hold/claims.ts'
import type { RecordRef } from '../record-ref.ts'
import { encodeUnfinished, NEW } from './unfinished-row.ts'

/**
 * Returns the index changes that claim a record's root and mark the record as still to be walked, in this order. They
 * must go into the batch that adds the record. The claim stays as long as the record, the mark until the walk is
 * complete.
 */
export function recordReferenceOps(record: RecordRef): IndexOp[] {
  const { id, root, replicas } = record
  return [
    Claims.reference(root.multihash.bytes, { by: 'record', id, replicas }),
    { type: 'put', key: unfinishedKey(id), value: encodeUnfinished(record, NEW) }
  ]
}

/** Returns the key of a record's claim on its root. It stays as long as the record. */
export function recordReferenceKey({ id, root }: Pick<RecordRef, 'id' | 'root'>): Uint8Array {
  return Claims.reference(root.multihash.bytes, { by: 'record', id, replicas: 0 }).key
}

/** Returns the index change by which a manifest node claims a block that it links to. */
export function referenceOf(cid: BlockCid, parent: Uint8Array): IndexOp & { type: 'put' } {
  return Claims.reference(cid.multihash.bytes, { by: 'node', multihash: parent }) as IndexOp & { type: 'put' }
}

/** Returns the key of the row that says what is still to be done for a record. */
export function unfinishedKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.unfinished, id)
}
