import { indexKey } from '../disk/index-db.ts'
import { type EntryRecord, ROOT_ENTRY, type Seen } from '../format/entry.ts'
import { encodeHlc, type Stamp } from '../format/stamp.ts'
import { concatBytes } from '../util/bytes.ts'

/**
 * The catalog's tables in the index. `r` every record of an entry, by stamp · `e` what they add up to · `d` what a
 * directory shows · `x` directories that were deleted, and where they were · `n` both, name by name · `w` what is no
 * directory, and has something below it · `o` directories that were in a cycle when one of it was moved · `h` what the
 * records of an entry have seen · `q` what they carry, where the record that wrote it has not come.
 */

export function entryKey(entry: Uint8Array): Uint8Array {
  return indexKey('e', entry)
}

/** Every record of an entry, or those under one stamp, start with this. */
export function recordsPrefix(entry: Uint8Array, stamp?: Stamp): Uint8Array {
  return indexKey('r', entry, ...(stamp === undefined ? [] : [stampBytes(stamp)]))
}

export function recordKey({ entry, stamp, id }: EntryRecord): Uint8Array {
  return indexKey('r', entry, stampBytes(stamp), id)
}

export function recordIdOf(key: Uint8Array): Uint8Array {
  return Buffer.from(key.subarray(key.byteLength - 32))
}

/** A row of the tables `d` and `x`: parent, hash of the name, entry; without the entry of `n`. Fewer parts make a prefix. */
export function directoryKey(table: 'd' | 'x' | 'n', parent: Uint8Array, ...rest: readonly Uint8Array[]): Uint8Array {
  return indexKey(table, parent, ...rest)
}

/** The row of `n` for the name of a row of `d` or `x`. */
export function nameKeyOf(key: Uint8Array): Uint8Array {
  return indexKey('n', key.subarray(1, key.byteLength - ROOT_ENTRY.byteLength))
}

export function waitingKey(parent?: Uint8Array): Uint8Array {
  return indexKey('w', ...(parent === undefined ? [] : [parent]))
}

export function cycleKey(entry?: Uint8Array): Uint8Array {
  return indexKey('o', ...(entry === undefined ? [] : [entry]))
}

/** What records of an entry have seen of one author's incarnation; all of it starts with the entry's. */
export function seenRowKey(entry: Uint8Array, of?: Pick<Seen, 'author' | 'incarnation'>): Uint8Array {
  return indexKey('h', entry, ...(of === undefined ? [] : [of.author, of.incarnation]))
}

export function questionKey(entry: Uint8Array, written?: Stamp): Uint8Array {
  return indexKey('q', entry, ...(written === undefined ? [] : [stampBytes(written)]))
}

/** The entry that a row of `d`, `x`, `w` or `o` is about: always its last 16 bytes. */
export function entryOfKey(key: Uint8Array): Uint8Array {
  return Buffer.from(key.subarray(key.byteLength - ROOT_ENTRY.byteLength))
}

/** What a row of a directory says of an entry, so that two of one name can be told apart without opening anything. */
export interface DirectoryValue {
  kind: 'file' | 'directory'
  isDamaged: boolean
  /** The stamp of the last move, in bytes that compare like it. */
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
