import { hash } from 'node:crypto'
import type { EntryRecord } from '../../format/entry.ts'
import { STATEMENT_ID_BYTES } from '../../format/statement.ts'
import { asBuffer, concatBytes, equalBytes, NO_BYTES, u64be } from '../../util/bytes.ts'
import { isOrigin } from '../heads.ts'

/**
 * The table of records has a row for each stamp under which an entry has a record. The row says which record counts
 * there: of several under one stamp, the one with the smallest id. The others have rows of their own.
 */
export interface RecordRow {
  id: Uint8Array
  /** True if the record wrote its content; false if it carries that of another, or deletes. */
  wrote: boolean
  /** The content that it wrote; undefined if it wrote none, and once nothing needs it here any more. */
  content: Uint8Array | undefined
  /** What stands for the content in keys (`contentTag`), in place of the content. */
  tag: Uint8Array | undefined
  isDelete: boolean
  /** True if it wrote a version that is no longer kept. */
  isDropped: boolean
  /** When the record reached this member. */
  arrivedAtMs: number
}

const WROTE = 1
const IS_DELETE = 2
const IS_DROPPED = 4
const HAS_TAG = 8
const ARRIVED_AT = STATEMENT_ID_BYTES + 1
const WROTE_AT = ARRIVED_AT + 8
const EPOCH_ID_BYTES = 32
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

/** Returns the epoch and the root in a content, or undefined if it is that of nothing. */
export function rootInContent(content: Uint8Array): { root: Uint8Array; rootEpoch: Uint8Array } | undefined {
  if (content.byteLength === 0) return undefined
  return { rootEpoch: content.subarray(0, EPOCH_ID_BYTES), root: content.subarray(EPOCH_ID_BYTES) }
}

/** Returns what the row of a record's stamp says if the record is the only one under it. */
export function recordRowOf(record: EntryRecord, arrivedAtMs: number): RecordRow {
  const isDelete = record.op === 'delete'
  const wrote = !isDelete && isOrigin(record)
  const content = wrote ? contentOf(record) : undefined
  return { id: record.id, wrote, content, tag: undefined, isDelete, isDropped: false, arrivedAtMs }
}

/** Returns the row of a record whose version is no longer kept and whose blocks, if it had any, have been released. */
export function releasedRow(row: RecordRow): RecordRow {
  return { ...row, isDropped: true, content: undefined, tag: writtenTag(row) }
}

/** Returns what stands in keys for the content that a record wrote; undefined if it wrote none. */
export function writtenTag({ content, tag }: Pick<RecordRow, 'content' | 'tag'>): Uint8Array | undefined {
  return content === undefined ? tag : contentTag(content)
}

export function encodeRecordRow(row: RecordRow): Uint8Array {
  const { id, wrote, content, tag, isDelete, isDropped, arrivedAtMs } = row
  const flags =
    (wrote ? WROTE : 0) | (isDelete ? IS_DELETE : 0) | (isDropped ? IS_DROPPED : 0) | (tag === undefined ? 0 : HAS_TAG)
  return concatBytes(id, Uint8Array.of(flags), u64be(arrivedAtMs), content ?? tag ?? NO_BYTES)
}

export function decodeRecordRow(value: Uint8Array): RecordRow {
  const flags = value[STATEMENT_ID_BYTES] as number
  return {
    id: value.subarray(0, STATEMENT_ID_BYTES),
    wrote: (flags & WROTE) !== 0,
    content: (flags & (WROTE | HAS_TAG)) === WROTE ? value.subarray(WROTE_AT) : undefined,
    tag: (flags & HAS_TAG) === 0 ? undefined : value.subarray(WROTE_AT),
    isDelete: (flags & IS_DELETE) !== 0,
    isDropped: (flags & IS_DROPPED) !== 0,
    arrivedAtMs: Number(asBuffer(value).readBigUInt64BE(ARRIVED_AT))
  }
}

/** Returns true if a row, which may be missing, is about the record with this id. */
export function isOfRecord(value: Uint8Array | undefined, id: Uint8Array): boolean {
  return value !== undefined && equalBytes(value.subarray(0, STATEMENT_ID_BYTES), id)
}
