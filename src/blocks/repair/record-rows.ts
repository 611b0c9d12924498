import { type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { BlockCid } from '../../format/cid.ts'
import { NO_BYTES } from '../../util/bytes.ts'
import { Claims, releasedKey } from '../hold/claims.ts'
import { encodeReleasedRecord, releasedRecordKey } from '../hold/release-rows.ts'
import type { RecordRef } from '../record-ref.ts'
import { encodeUnfinished, NEW } from './unfinished-row.ts'

/**
 * Returns the index changes that claim a record's root and, unless the record is settled, mark it as still to be walked,
 * in this order. They must go into the batch that adds the record. The claim stays until the record is released, the
 * mark until the walk is complete.
 */
export function recordReferenceOps(record: RecordRef, isSettled = false): IndexOp[] {
  const { id, root, replicas } = record
  const claim = Claims.reference(root.multihash.bytes, { by: 'record', id, replicas })
  if (isSettled) return [claim]
  return [claim, { type: 'put', key: unfinishedKey(id), value: encodeUnfinished(record, NEW) }]
}

/** Returns the key of a record's claim on its root. It stays until the record is released. */
export function recordReferenceKey({ id, root }: Pick<RecordRef, 'id' | 'root'>): Uint8Array {
  return Claims.reference(root.multihash.bytes, { by: 'record', id, replicas: 0 }).key
}

/**
 * Returns the index changes that end a record's need of its content, for good: its claim goes, and what nothing else
 * claims is freed afterwards. They must go into the batch that decides it. A record that is released has a row of its
 * own, so that its missing claim does not look like damage.
 */
export function recordReleaseOps(record: RecordRef): IndexOp[] {
  return [
    { type: 'del', key: recordReferenceKey(record) },
    { type: 'put', key: releasedKey(record.id), value: NO_BYTES },
    { type: 'put', key: releasedRecordKey(record.id), value: encodeReleasedRecord(record) }
  ]
}

/** Returns the index change by which a manifest node claims a block that it links to. */
export function referenceOf(cid: BlockCid, parent: Uint8Array): IndexOp & { type: 'put' } {
  return Claims.reference(cid.multihash.bytes, { by: 'node', multihash: parent }) as IndexOp & { type: 'put' }
}

/** Returns the key of the row that says what is still to be done for a record. */
export function unfinishedKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.unfinished, id)
}
