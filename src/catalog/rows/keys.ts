import { indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { type EntryRecord, ROOT_ENTRY, type Seen } from '../../format/entry.ts'
import { decodeHlc, encodeHlc, HLC_BYTES, type Hlc, INCARNATION_BYTES, type Stamp } from '../../format/stamp.ts'
import { asBuffer, concatBytes } from '../../util/bytes.ts'

/** Keys of the catalog's rows in the index. `disk/tables.ts` says what each table holds. */

/** The bytes of an author's key. */
export const KEY_BYTES = 32

/**
 * The two tables of a directory's entries. One has the entries that it shows; the other has the deleted directories that
 * it does not show.
 */
export const DIRECTORY_TABLES = [TABLES.children, TABLES.deletedDirectories] as const
/** The tables whose rows are about an entry in a directory. Deleted files matter only for those who ask for them. */
export type DirectoryTable = (typeof DIRECTORY_TABLES)[number] | typeof TABLES.deletedFiles

/** Returns the key of an entry's row. */
export function entryKey(entry: Uint8Array): Uint8Array {
  return indexKey(TABLES.entries, entry)
}

/** Returns the key of the row for the records of an entry under one stamp. */
export function recordsKey(entry: Uint8Array, stamp: Stamp): Uint8Array {
  return indexKey(TABLES.records, entry, stampBytes(stamp))
}

/** Returns the prefix of the rows for the records of an entry. */
export function recordsOf(entry: Uint8Array): Uint8Array {
  return indexKey(TABLES.records, entry)
}

/** Returns the key of the row of a record that does not count, because another one under its stamp does. */
export function twinKey({ entry, stamp, id }: Pick<EntryRecord, 'entry' | 'stamp' | 'id'>): Uint8Array {
  return indexKey(TABLES.records, entry, stampBytes(stamp), id)
}

/**
 * Returns the key of the row which says that the content of a stamp may be carried, although the record that counts
 * under this stamp did not write it.
 */
export function carriedKey(entry: Uint8Array, written: Stamp, content: Uint8Array): Uint8Array {
  return indexKey(TABLES.carriedContents, entry, stampBytes(written), content)
}

/**
 * Returns the key of a record that waits until another record shows this content under this `written`. Without an id,
 * returns the prefix of all records that wait for the same content.
 */
export function waitingRecordKey(entry: Uint8Array, written: Stamp, content: Uint8Array, id?: Uint8Array): Uint8Array {
  return indexKey(TABLES.waitingRecords, entry, stampBytes(written), content, ...(id === undefined ? [] : [id]))
}

/** Returns the prefix of the records of an entry that wait; with a `written`, of those that carry its content. */
export function waitingRecordsOf(entry: Uint8Array, written?: Stamp): Uint8Array {
  return indexKey(TABLES.waitingRecords, entry, ...(written === undefined ? [] : [stampBytes(written)]))
}

/** Returns the `written` in the key of a record that waits. */
export function writtenOfWaiting(key: Uint8Array): Stamp {
  const at = 1 + ROOT_ENTRY.byteLength
  return decodeStampBytes(key.subarray(at, at + STAMP_BYTES))
}

/** Returns the key of the row for what a head has seen. */
export function headPastKey(entry: Uint8Array, stamp: Stamp): Uint8Array {
  return indexKey(TABLES.headPasts, entry, stampBytes(stamp))
}

/** Keys of the table of older heads have one of these after the entry. */
const BY_TIME = Uint8Array.of(0)
const BY_AUTHOR = Uint8Array.of(1)

/** Returns the prefix of the older heads of an entry, from the latest to the oldest. */
export function olderHeadsPrefix(entry: Uint8Array): Uint8Array {
  return indexKey(TABLES.olderHeads, entry, BY_TIME)
}

/** Returns the key of an older head. Its stamp is inverted, so that the latest head comes first. */
export function olderHeadKey(entry: Uint8Array, stamp: Stamp): Uint8Array {
  return indexKey(
    TABLES.olderHeads,
    entry,
    BY_TIME,
    stampBytes(stamp).map(byte => 0xff ^ byte)
  )
}

/** Returns the key of an older head by its author. Without `of` or without an hlc, returns a prefix. */
export function olderHeadsOf(entry: Uint8Array, of?: Pick<Seen, 'author' | 'incarnation'>, hlc?: Hlc): Uint8Array {
  const parts = of === undefined ? [] : [of.author, of.incarnation]
  if (hlc !== undefined) parts.push(encodeHlc(hlc))
  return indexKey(TABLES.olderHeads, entry, BY_AUTHOR, ...parts)
}

/** Returns the stamp in a key that `olderHeadsOf` made with an hlc. */
export function stampOfOlderHead(key: Uint8Array): Stamp {
  const end = key.byteLength - HLC_BYTES
  const [author, incarnation] = [end - INCARNATION_BYTES - KEY_BYTES, end - INCARNATION_BYTES]
  return {
    hlc: decodeHlc(key.subarray(end)),
    author: key.subarray(author, incarnation),
    incarnation: key.subarray(incarnation, end)
  }
}

/**
 * Returns the key of the row for an entry whose place is sealed in an epoch whose key is not here. Without an entry,
 * returns the prefix of all entries of the epoch.
 */
export function sealedKey(epoch: Uint8Array, ...entry: readonly Uint8Array[]): Uint8Array {
  return indexKey(TABLES.sealedEntries, epoch, ...entry)
}

/** The row with the number of files. */
export const COUNTS_KEY: Uint8Array = indexKey(TABLES.counts)

/**
 * Returns the key of a row of a directory table: parent, hash of the name, entry. Keys of the table of names end with
 * the hash. If parts are left out, the result is a prefix.
 */
export function directoryKey(
  table: DirectoryTable | typeof TABLES.names,
  parent: Uint8Array,
  ...rest: readonly Uint8Array[]
): Uint8Array {
  return indexKey(table, parent, ...rest)
}

/** Returns the key in the table of names that belongs to a row of a directory table. */
export function nameKeyOf(key: Uint8Array): Uint8Array {
  return indexKey(TABLES.names, key.subarray(1, key.byteLength - ROOT_ENTRY.byteLength))
}

/**
 * Returns the key of the row for a parent that is unknown or not a directory; without an id, the prefix of all of them.
 */
export function waitingKey(parent?: Uint8Array): Uint8Array {
  return indexKey(TABLES.waiting, ...(parent === undefined ? [] : [parent]))
}

/** Returns the key of the row for a directory in a cycle; without an id, the prefix of all of them. */
export function cycleKey(entry?: Uint8Array): Uint8Array {
  return indexKey(TABLES.cycles, ...(entry === undefined ? [] : [entry]))
}

/**
 * Returns the key of the row for what an entry's records have seen of one author and incarnation. Without `of`, returns
 * a prefix.
 */
export function seenRowKey(entry: Uint8Array, of?: Pick<Seen, 'author' | 'incarnation'>): Uint8Array {
  return indexKey(TABLES.seen, entry, ...(of === undefined ? [] : [of.author, of.incarnation]))
}

/**
 * Returns the id of the entry that a row of a directory table, of `waiting`, of `cycles` or of `sealedEntries` is about: the last 16 bytes
 * of its key.
 */
export function entryOfKey(key: Uint8Array): Uint8Array {
  return Buffer.from(key.subarray(key.byteLength - ROOT_ENTRY.byteLength))
}

/** Returns the id of the directory that a row of a directory table belongs to. */
export function parentOfKey(key: Uint8Array): Uint8Array {
  return key.subarray(1, 1 + ROOT_ENTRY.byteLength)
}

/**
 * The value of a row of a directory table. It is enough to list names, and to order the entries with the same name,
 * without opening their bodies.
 */
export interface DirectoryValue {
  kind: 'file' | 'directory'
  isDamaged: boolean
  /**
   * True if the file has several heads that are not deleted. Whether they show as conflict versions depends on the order
   * of the epochs, which is not known while an index is rebuilt.
   */
  hasVersions: boolean
  /** The stamp of the record that placed the entry, in bytes that compare as stamps do. */
  placed: Uint8Array
  /** The name under which the entry shows, sealed. */
  sealedName: Uint8Array
}

const IS_DIRECTORY = 1
const IS_DAMAGED = 2
const HAS_VERSIONS = 4
/** The bytes of a stamp in a key. */
export const STAMP_BYTES = HLC_BYTES + KEY_BYTES + INCARNATION_BYTES

/** Encodes the value of a row of a directory table. */
export function encodeDirectoryValue(value: Omit<DirectoryValue, 'placed'> & { placed: Stamp }): Uint8Array {
  const { kind, isDamaged, hasVersions, placed, sealedName } = value
  const flags =
    (kind === 'directory' ? IS_DIRECTORY : 0) | (isDamaged ? IS_DAMAGED : 0) | (hasVersions ? HAS_VERSIONS : 0)
  return concatBytes(Uint8Array.of(flags), stampBytes(placed), sealedName)
}

/** Decodes the value of a row of a directory table. */
export function decodeDirectoryValue(value: Uint8Array): DirectoryValue {
  const flags = value[0] as number
  return {
    kind: (flags & IS_DIRECTORY) === 0 ? 'file' : 'directory',
    isDamaged: (flags & IS_DAMAGED) !== 0,
    hasVersions: (flags & HAS_VERSIONS) !== 0,
    placed: value.subarray(1, 1 + STAMP_BYTES),
    sealedName: value.subarray(1 + STAMP_BYTES)
  }
}

/** Returns the hash of the name in the key of a row of a directory table. */
export function nameHashOf(key: Uint8Array): Uint8Array {
  return key.subarray(1 + ROOT_ENTRY.byteLength, key.byteLength - ROOT_ENTRY.byteLength)
}

/** Returns the stamp in the key of a row of `records`. The keys of twins are longer than those of records that count. */
export function stampOfRecord(key: Uint8Array): { stamp: Stamp; isTwin: boolean } {
  const at = 1 + ROOT_ENTRY.byteLength
  return { stamp: decodeStampBytes(key.subarray(at, at + STAMP_BYTES)), isTwin: key.byteLength > at + STAMP_BYTES }
}

/** Decodes a stamp from the bytes that stand for it in keys and in rows of the directory tables. */
export function decodeStampBytes(bytes: Uint8Array): Stamp {
  const [author, incarnation] = [HLC_BYTES, HLC_BYTES + KEY_BYTES]
  return {
    hlc: decodeHlc(bytes.subarray(0, author)),
    author: bytes.subarray(author, incarnation),
    incarnation: bytes.subarray(incarnation, STAMP_BYTES)
  }
}

/** Encodes a stamp so that bytes compare as stamps do. */
export function stampBytes({ hlc, author, incarnation }: Stamp): Uint8Array {
  return concatBytes(encodeHlc(hlc), author, incarnation)
}

/** Returns a text that stands for the bytes of a key or an id, for use in a `Map`. */
export function textOf(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1')
}
