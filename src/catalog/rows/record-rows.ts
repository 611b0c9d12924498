import { hash } from 'node:crypto'
import type { EntryRecord } from '../../format/entry.ts'
import { STATEMENT_ID_BYTES } from '../../format/statement.ts'
import { concatBytes, equalBytes, NO_BYTES } from '../../util/bytes.ts'
import { isOrigin } from '../heads.ts'

/**
 * The table of records has a row for each stamp under which an entry has a record. The row says which record counts
 * there: of several under one stamp, the one with the smallest id. The others have rows of their own.
 */
export interface RecordRow {
  id: Uint8Array
  /** The content that the record wrote; undefined if it carries content, or deletes. */
  wrote: Uint8Array | undefined
  isDelete: boolean
}

const WROTE = 1
const IS_DELETE = 2
/** The bytes of the hash that stands for a content in a key. */
const CONTENT_TAG_BYTES = 16

/** Returns the content of a record: the epoch of its root and the root, or nothing. */
export function contentOf({ root, rootEpoch }: Pick<EntryRecord, 'root' | 'rootEpoch'>): Uint8Array {
  return root === null || rootEpoch === null ? NO_BYTES : concatBytes(rootEpoch, root)
}

/** Returns the bytes that stand for a content in keys, 16 bytes. */
export function contentTag(content: Uint8Array): Uint8Array {
  return hash('sha256', content, 'buffer').subarray(0, CONTENT_TAG_BYTES)
}

/** Returns what the row of a record's stamp says if the record is the only one under it. */
export function recordRowOf(record: EntryRecord): RecordRow {
  const isDelete = record.op === 'delete'
  const wrote = !isDelete && isOrigin(record) ? contentOf(record) : undefined
  return { id: record.id, wrote, isDelete }
}

export function encodeRecordRow({ id, wrote, isDelete }: RecordRow): Uint8Array {
  const flags = (wrote === undefined ? 0 : WROTE) | (isDelete ? IS_DELETE : 0)
  return concatBytes(id, Uint8Array.of(flags), wrote ?? NO_BYTES)
}

export function decodeRecordRow(value: Uint8Array): RecordRow {
  const flags = value[STATEMENT_ID_BYTES] as number
  const wrote = (flags & WROTE) === 0 ? undefined : value.subarray(STATEMENT_ID_BYTES + 1)
  return { id: value.subarray(0, STATEMENT_ID_BYTES), wrote, isDelete: (flags & IS_DELETE) !== 0 }
}

/** Returns true if a row, which may be missing, is about the record with this id. */
export function isOfRecord(value: Uint8Array | undefined, id: Uint8Array): boolean {
  return value !== undefined && equalBytes(value.subarray(0, STATEMENT_ID_BYTES), id)
}
