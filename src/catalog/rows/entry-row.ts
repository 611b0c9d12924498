import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { decodeStamp, encodeStamp, ROOT_ENTRY, type Seen, seenKey } from '../../format/entry.ts'
import { compareStamps, type Stamp } from '../../format/stamp.ts'
import { type EntryState, stampKey } from '../heads.ts'
import { decodeHead, decodeSeen, encodeHead, encodeSeen, type HeadFields, type StampFields } from './head-codec.ts'

/**
 * The index row of an entry. It holds the state of the entry's records, and the key of the row through which a
 * directory shows the entry. If all records of the entry wait, it has no heads, and for the tree there is no such entry.
 */
export interface EntryRow {
  state: EntryState
  kind: 'file' | 'directory'
  isDeleted: boolean
  /** The id of its parent. */
  parent: Uint8Array
  /** The key of its row in a directory table; undefined if it has none. */
  key: Uint8Array | undefined
  /** True if the record that places the entry cannot be opened, or if its name must not be part of a path. */
  isDamaged: boolean
}

interface PlainRow {
  b: StampFields[]
  d: StampFields[]
  h: HeadFields[]
  o: number
  w: number
  u: number
  k: number
  p: Uint8Array
  t: Uint8Array | null
}

const IS_DIRECTORY = 1
const IS_DELETED = 2
const IS_DAMAGED = 4

/** The part of an entry's row from which the tree is computed. */
export type TreeRow = Omit<EntryRow, 'state'>

/** The `TreeRow` of an entry that shows nowhere and can have no entries below it. */
export const ROW_WITHOUT_PLACE: TreeRow = {
  kind: 'file',
  isDeleted: true,
  parent: ROOT_ENTRY,
  key: undefined,
  isDamaged: false
}

/**
 * Encodes a row. The row holds only the part of the past that decides which heads are deleted. There is no bound on how
 * much the records of an entry have seen, so the rest is in rows of the table `seen`. Equal states have equal rows.
 */
export function encodeEntryRow({ state, kind, isDeleted, isDamaged, parent, key }: EntryRow): Uint8Array {
  const row: PlainRow = {
    b: deletedPastOfHeads(state).map(encodeSeen),
    d: deleteStampsOfHeads(state).map(encodeStamp),
    h: state.heads.map(encodeHead),
    o: state.older,
    w: state.writes,
    u: state.waiting,
    k: (kind === 'directory' ? IS_DIRECTORY : 0) | (isDeleted ? IS_DELETED : 0) | (isDamaged ? IS_DAMAGED : 0),
    p: parent,
    t: key ?? null
  }
  return encodeCanonical(row)
}

/**
 * Decodes the row of this entry, which `encodeEntryRow` made; the index has verified its checksum. The state is complete
 * enough for `showEntry`. Before records are added, `loadPast` must add what the entry's records have seen.
 */
export function decodeEntryRow(entry: Uint8Array, bytes: Uint8Array): EntryRow {
  const row = decodeOwn(bytes) as PlainRow
  const deletedPast = row.b.map(decodeSeen)
  return {
    state: {
      covered: new Map(),
      deletedPast: new Map(deletedPast.map(seen => [seenKey(seen.author, seen.incarnation), seen])),
      deleteStamps: new Set(row.d.map(stamp => stampKey(decodeStamp(stamp)))),
      heads: row.h.map(fields => decodeHead(entry, fields)),
      older: row.o,
      writes: row.w,
      waiting: row.u
    },
    kind: (row.k & IS_DIRECTORY) === 0 ? 'file' : 'directory',
    isDeleted: (row.k & IS_DELETED) !== 0,
    isDamaged: (row.k & IS_DAMAGED) !== 0,
    parent: row.p,
    key: row.t ?? undefined
  }
}

/** Returns what some delete has seen of the authors and incarnations that wrote the contents of the heads. */
function deletedPastOfHeads({ heads, deletedPast }: EntryState): Seen[] {
  if (deletedPast.size === 0) return []
  const wrote = new Set(heads.map(({ written }) => seenKey(written.author, written.incarnation)))
  return [...wrote].flatMap(key => deletedPast.get(key) ?? [])
}

/** Returns the stamps that heads name as their `written` although a delete has them. */
function deleteStampsOfHeads({ heads, deleteStamps }: EntryState): Stamp[] {
  if (deleteStamps.size === 0) return []
  const carried = heads.filter(({ op, written }) => op === 'put' && deleteStamps.has(stampKey(written)))
  return [...new Map(carried.map(({ written }) => [stampKey(written), written])).values()].sort(compareStamps)
}
