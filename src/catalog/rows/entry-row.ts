import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { decodeStamp, type EntryRecord, encodeStamp, type Seen, seenKey } from '../../format/entry.ts'
import { decodeHlc, encodeHlc } from '../../format/stamp.ts'
import type { EntryState } from '../heads.ts'

/**
 * The index row of an entry. It holds the state of the entry's records, and the key of the row through which a
 * directory shows the entry.
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

type StampFields = [Uint8Array, Uint8Array, Uint8Array]
type HeadFields = [
  id: Uint8Array,
  entry: Uint8Array,
  stamp: StampFields,
  seen: StampFields[],
  op: number,
  placed: StampFields,
  written: StampFields,
  root: Uint8Array | null,
  rootEpoch: Uint8Array | null,
  epoch: Uint8Array,
  replicas: number
]
interface PlainRow {
  b: StampFields[]
  h: HeadFields[]
  w: number
  k: number
  p: Uint8Array
  t: Uint8Array | null
}

const IS_DIRECTORY = 1
const IS_DELETED = 2
const IS_DAMAGED = 4
const HAS_MORE = 8

/**
 * Encodes a row. The row holds only the part of the past that decides which heads are deleted. There is no bound on how
 * much the records of an entry have seen, so the rest is in rows of the table `seen`.
 */
export function encodeEntryRow({ state, kind, isDeleted, isDamaged, parent, key }: EntryRow): Uint8Array {
  const wrote = new Set(state.heads.map(({ written }) => seenKey(written.author, written.incarnation)))
  const row: PlainRow = {
    b: [...state.deletedPast].filter(([key]) => wrote.has(key)).map(([, seen]) => encodeSeen(seen)),
    h: state.heads.map(head => [
      head.id,
      head.entry,
      encodeStamp(head.stamp),
      head.seen.map(encodeSeen),
      head.op === 'put' ? 1 : 0,
      encodeStamp(head.placed),
      encodeStamp(head.written),
      head.root,
      head.rootEpoch,
      head.epoch,
      head.replicas
    ]),
    w: state.writes,
    k:
      (kind === 'directory' ? IS_DIRECTORY : 0) |
      (isDeleted ? IS_DELETED : 0) |
      (isDamaged ? IS_DAMAGED : 0) |
      (state.hasMore ? HAS_MORE : 0),
    p: parent,
    t: key ?? null
  }
  return encodeCanonical(row)
}

/**
 * Decodes a row that `encodeEntryRow` made; the index has verified its checksum. The state is complete enough for
 * `showEntry`. Before `addRecord` is called, `loadPast` must add what the records have seen.
 */
export function decodeEntryRow(bytes: Uint8Array): EntryRow {
  const row = decodeOwn(bytes) as PlainRow
  const heads = row.h.map(
    ([id, entry, stamp, seen, op, placed, written, root, rootEpoch, epoch, replicas]): EntryRecord => ({
      id,
      entry,
      stamp: decodeStamp(stamp),
      seen: seen.map(decodeSeen),
      op: op === 1 ? 'put' : 'delete',
      placed: decodeStamp(placed),
      written: decodeStamp(written),
      root,
      rootEpoch,
      epoch,
      replicas
    })
  )
  const deletedPast = row.b.map(decodeSeen)
  return {
    state: {
      covered: new Map(),
      deletedPast: new Map(deletedPast.map(seen => [seenKey(seen.author, seen.incarnation), seen])),
      heads,
      hasMore: (row.k & HAS_MORE) !== 0,
      writes: row.w
    },
    kind: (row.k & IS_DIRECTORY) === 0 ? 'file' : 'directory',
    isDeleted: (row.k & IS_DELETED) !== 0,
    isDamaged: (row.k & IS_DAMAGED) !== 0,
    parent: row.p,
    key: row.t ?? undefined
  }
}

function encodeSeen({ hlc, author, incarnation }: Seen): StampFields {
  return [encodeHlc(hlc), author, incarnation]
}

function decodeSeen([hlc, author, incarnation]: StampFields): Seen {
  return { hlc: decodeHlc(hlc), author, incarnation }
}
