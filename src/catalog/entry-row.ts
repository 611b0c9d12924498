import { decodeCanonical, encodeCanonical } from '../format/canonical.ts'
import { decodeStamp, type EntryRecord, encodeStamp, type Seen, seenKey } from '../format/entry.ts'
import { decodeHlc, encodeHlc } from '../format/stamp.ts'
import { type EntryState, type Past, stampKey } from './heads.ts'

/** What the index holds of an entry: the state of its records, and the row under which a directory shows it. */
export interface EntryRow {
  state: EntryState
  kind: 'file' | 'directory'
  isDeleted: boolean
  /** Where it stands: the parent's id, and the keys of the rows that say so. */
  parent: Uint8Array
  keys: Uint8Array[]
  /** Its record does not open, or its name may be no name. */
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
  c: StampFields[]
  b: StampFields[]
  h: HeadFields[]
  w: number
  u: StampFields[]
  k: number
  p: Uint8Array
  t: Uint8Array[]
}

const IS_DIRECTORY = 1
const IS_DELETED = 2
const IS_DAMAGED = 4

export function encodeEntryRow({ state, kind, isDeleted, isDamaged, parent, keys }: EntryRow): Uint8Array {
  const row: PlainRow = {
    c: encodePast(state.covered),
    b: encodePast(state.buried),
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
    u: [...state.unproven.values()].map(encodeStamp),
    k: (kind === 'directory' ? IS_DIRECTORY : 0) | (isDeleted ? IS_DELETED : 0) | (isDamaged ? IS_DAMAGED : 0),
    p: parent,
    t: keys
  }
  return encodeCanonical(row)
}

/** Reads what `encodeEntryRow` wrote; the index's checksum has vouched for the bytes. */
export function decodeEntryRow(bytes: Uint8Array): EntryRow {
  const row = decodeCanonical(bytes) as PlainRow
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
  const unproven = row.u.map(decodeStamp)
  return {
    state: {
      covered: decodePast(row.c),
      buried: decodePast(row.b),
      heads,
      writes: row.w,
      unproven: new Map(unproven.map(stamp => [stampKey(stamp), stamp]))
    },
    kind: (row.k & IS_DIRECTORY) === 0 ? 'file' : 'directory',
    isDeleted: (row.k & IS_DELETED) !== 0,
    isDamaged: (row.k & IS_DAMAGED) !== 0,
    parent: row.p,
    keys: row.t
  }
}

function encodePast(past: Past): StampFields[] {
  return [...past.values()].map(encodeSeen)
}

function decodePast(fields: StampFields[]): Past {
  return new Map(fields.map(decodeSeen).map(seen => [seenKey(seen.author, seen.incarnation), seen]))
}

function encodeSeen({ hlc, author, incarnation }: Seen): StampFields {
  return [encodeHlc(hlc), author, incarnation]
}

function decodeSeen([hlc, author, incarnation]: StampFields): Seen {
  return { hlc: decodeHlc(hlc), author, incarnation }
}
