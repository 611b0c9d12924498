import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { ENTRY_ID_BYTES, ROOT_ENTRY } from '../../format/entry.ts'
import { concatBytes, equalBytes, NO_BYTES } from '../../util/bytes.ts'
import { NAME_HASH_BYTES } from '../constants.ts'
import type { EntryState } from '../heads.ts'
import { directoryKey, entryKey } from './keys.ts'
import { readState } from './state-codec.ts'

/**
 * The part of an entry's row from which the tree is computed: where the entry is, and how it shows there. If all records
 * of an entry wait, if nobody ever placed it, or if its place is sealed, it has no place.
 */
export interface TreeRow {
  kind: 'file' | 'directory'
  isDeleted: boolean
  /** True if the record that places the entry cannot be opened, or if its name must not be part of a path. */
  isDamaged: boolean
  /**
   * True if the key of the epoch that seals the entry's place is not here. The entry then has no place, and nobody here
   * knows whether it is a file or a directory.
   */
  isSealed: boolean
  /** True for a deleted file, and for a deleted directory that shows nowhere, because nothing below it shows. */
  isHidden: boolean
  /** The id of its parent. A deleted file has the one that it had last. */
  parent: Uint8Array
  /** The hash of the name under which the parent lists it, or did last; undefined if it has no place. */
  name: Uint8Array | undefined
  /** The name itself, if it is known. The row in the index does not have it. */
  text?: string
}

/** The index row of an entry. It holds the state of the entry's records, and its place in the tree. */
export interface EntryRow extends TreeRow {
  state: EntryState
}

const IS_DIRECTORY = 1
const IS_DELETED = 2
const IS_DAMAGED = 4
const IS_HIDDEN = 8
const HAS_PLACE = 16
const IS_SEALED = 32
const NAME_AT = 1 + ENTRY_ID_BYTES

/** The `TreeRow` of an entry that shows nowhere and can have no entries below it. */
export const ROW_WITHOUT_PLACE: TreeRow = {
  kind: 'file',
  isDeleted: true,
  isDamaged: false,
  isSealed: false,
  isHidden: false,
  parent: ROOT_ENTRY,
  name: undefined
}

/** Returns the key of an entry's row in the directory tables, or undefined if the entry has no place. */
export function placeKey(entry: Uint8Array, { kind, isHidden, parent, name }: TreeRow): Uint8Array | undefined {
  if (name === undefined) return undefined
  const hidden = kind === 'file' ? TABLES.deletedFiles : TABLES.deletedDirectories
  return directoryKey(isHidden ? hidden : TABLES.children, parent, name, entry)
}

/** Encodes a row. `state` is what `encodeState` returned. Equal states and places have equal rows. */
export function encodeEntryRow(row: TreeRow, state: Uint8Array): Uint8Array {
  const { kind, isDeleted, isDamaged, isSealed, isHidden, parent, name } = row
  const flags =
    (kind === 'directory' ? IS_DIRECTORY : 0) |
    (isDeleted ? IS_DELETED : 0) |
    (isDamaged ? IS_DAMAGED : 0) |
    (isSealed ? IS_SEALED : 0) |
    (isHidden ? IS_HIDDEN : 0) |
    (name === undefined ? 0 : HAS_PLACE)
  return concatBytes(Uint8Array.of(flags), parent, name ?? NO_BYTES, state)
}

/** Decodes only the place in a row, which is much faster than decoding the state. */
export function decodeTreeRow(bytes: Uint8Array): TreeRow {
  const flags = bytes[0] as number
  return {
    kind: (flags & IS_DIRECTORY) === 0 ? 'file' : 'directory',
    isDeleted: (flags & IS_DELETED) !== 0,
    isDamaged: (flags & IS_DAMAGED) !== 0,
    isSealed: (flags & IS_SEALED) !== 0,
    isHidden: (flags & IS_HIDDEN) !== 0,
    parent: bytes.subarray(1, NAME_AT),
    name: (flags & HAS_PLACE) === 0 ? undefined : bytes.subarray(NAME_AT, NAME_AT + NAME_HASH_BYTES)
  }
}

/** Returns the encoded state in a row. */
export function stateIn(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(((bytes[0] as number) & HAS_PLACE) === 0 ? NAME_AT : NAME_AT + NAME_HASH_BYTES)
}

/**
 * Reads the whole row of this entry, given its value, which `encodeEntryRow` made. The state is complete enough for
 * `showEntry`. Before records are added, `loadPast` must add what the entry's records have seen.
 */
export async function readEntryRow(
  index: Pick<IndexDb, 'get' | 'getMany' | 'reportCorrupt'>,
  entry: Uint8Array,
  value: Uint8Array
): Promise<EntryRow> {
  for (let row = value; ; ) {
    const state = await readState(index, entry, stateIn(row))
    if (state !== undefined) return { ...decodeTreeRow(row), state }
    // A batch may have changed the entry between the two reads, and removed what its old heads had seen.
    const now = await index.get(entryKey(entry))
    if (now === undefined || equalBytes(now, row))
      throw index.reportCorrupt('the index lacks what a head of an entry has seen')
    row = now
  }
}
