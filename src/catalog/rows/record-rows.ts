import { hash } from 'node:crypto'
import type { EntryRecord } from '../../format/entry.ts'
import { concatBytes, equalBytes } from '../../util/bytes.ts'
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

const ID_BYTES = 32
const WROTE = 1
const IS_DELETE = 2
/** The bytes of a hash that tell contents apart. */
const CONTENT_BYTES = 16
const NO_CONTENT: Uint8Array = new Uint8Array(CONTENT_BYTES)

/** Returns 16 bytes that stand for what a record has as content: its root and the epoch of the root. */
export function contentOf({ root, rootEpoch }: Pick<EntryRecord, 'root' | 'rootEpoch'>): Uint8Array {
  if (root === null || rootEpoch === null) return NO_CONTENT
  return hash('sha256', concatBytes(rootEpoch, root), 'buffer').subarray(0, CONTENT_BYTES)
}

/** Returns what the row of a record's stamp says if the record is the only one under it. */
export function recordRowOf(record: EntryRecord): RecordRow {
  const isDelete = record.op === 'delete'
  const wrote = !isDelete && isOrigin(record) ? contentOf(record) : undefined
  return { id: record.id, wrote, isDelete }
}

export function encodeRecordRow({ id, wrote, isDelete }: RecordRow): Uint8Array {
  const flags = (wrote === undefined ? 0 : WROTE) | (isDelete ? IS_DELETE : 0)
  return concatBytes(id, Uint8Array.of(flags), wrote ?? NOTHING)
}

export function decodeRecordRow(value: Uint8Array): RecordRow {
  const flags = value[ID_BYTES] as number
  const wrote = (flags & WROTE) === 0 ? undefined : value.subarray(ID_BYTES + 1)
  return { id: value.subarray(0, ID_BYTES), wrote, isDelete: (flags & IS_DELETE) !== 0 }
}

/** Returns true if a row, which may be missing, is about the record with this id. */
export function isOfRecord(value: Uint8Array | undefined, id: Uint8Array): boolean {
  return value !== undefined && equalBytes(value.subarray(0, ID_BYTES), id)
}

const NOTHING = new Uint8Array(0)
