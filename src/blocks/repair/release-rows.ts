import { z } from 'zod'
import { indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { utf8 } from '../../util/bytes.ts'
import type { RecordRef } from '../record-ref.ts'
import { fieldsOfRecord, recordFields, recordOfFields } from './record-codec.ts'

const RECORD = utf8('r')
const rowSchema = z.object(recordFields)

/** Returns the key of the row that says that a record was released, and that its blocks are still to be looked at. */
export function releasedRecordKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.releases, RECORD, id)
}

export function encodeReleasedRecord(record: RecordRef): Uint8Array {
  return encodeCanonical(fieldsOfRecord(record))
}

export function decodeReleasedRecord(id: Uint8Array, value: Uint8Array, nodeCodec: number): RecordRef {
  return recordOfFields(id, rowSchema.parse(decodeOwn(value)), nodeCodec)
}
