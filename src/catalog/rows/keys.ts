import { indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { type EntryRecord, ROOT_ENTRY, type Seen } from '../../format/entry.ts'
import { encodeHlc, type Stamp } from '../../format/stamp.ts'
import { concatBytes } from '../../util/bytes.ts'

/** Keys of the catalog's rows in the index. `disk/tables.ts` says what each table holds. */

/**
 * The two tables of a directory's entries. One has the entries that it shows; the other has the directories that were
 * deleted there.
 */
export const DIRECTORY_TABLES = [TABLES.children, TABLES.deletedDirectories] as const
export type DirectoryTable = (typeof DIRECTORY_TABLES)[number]

export function entryKey(entry: Uint8Array): Uint8Array {
  return indexKey(TABLES.entries, entry)
}

/** Returns the key prefix of all records of an entry or, if a stamp is given, of the records with that stamp. */
export function recordsPrefix(entry: Uint8Array, stamp?: Stamp): Uint8Array {
  return indexKey(TABLES.records, entry, ...(stamp === undefined ? [] : [stampBytes(stamp)]))
}

export function recordKey({ entry, stamp, id }: EntryRecord): Uint8Array {
  return indexKey(TABLES.records, entry, stampBytes(stamp), id)
}

export function recordIdOf(key: Uint8Array): Uint8Array {
  return Buffer.from(key.subarray(key.byteLength - 32))
}

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

export function waitingKey(parent?: Uint8Array): Uint8Array {
  return indexKey(TABLES.waiting, ...(parent === undefined ? [] : [parent]))
}

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
 * Returns the key that marks the record with a stamp as missing while other records carry its content. Without a stamp,
 * returns a prefix.
 */
export function missingOriginKey(entry: Uint8Array, written?: Stamp): Uint8Array {
  return indexKey(TABLES.missingOrigins, entry, ...(written === undefined ? [] : [stampBytes(written)]))
}

/**
 * Returns the id of the entry that a row of a directory table, of `waiting` or of `cycles` is about: the last 16 bytes
 * of its key.
 */
export function entryOfKey(key: Uint8Array): Uint8Array {
  return Buffer.from(key.subarray(key.byteLength - ROOT_ENTRY.byteLength))
}

/**
 * The value of a row of a directory table. It is enough to order the entries with the same name without opening their
 * bodies.
 */
export interface DirectoryValue {
  kind: 'file' | 'directory'
  isDamaged: boolean
  /** The stamp of the record that placed the entry, in bytes that compare as stamps do. */
  placed: Uint8Array
}

export function encodeDirectoryValue(kind: 'file' | 'directory', isDamaged: boolean, placed: Stamp): Uint8Array {
  return concatBytes(Uint8Array.of((kind === 'directory' ? 1 : 0) | (isDamaged ? 2 : 0)), stampBytes(placed))
}

export function decodeDirectoryValue(value: Uint8Array): DirectoryValue {
  const flags = value[0] as number
  return { kind: (flags & 1) === 0 ? 'file' : 'directory', isDamaged: (flags & 2) !== 0, placed: value.subarray(1) }
}

function stampBytes({ hlc, author, incarnation }: Stamp): Uint8Array {
  return concatBytes(encodeHlc(hlc), author, incarnation)
}
