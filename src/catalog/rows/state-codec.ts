import type { IndexDb } from '../../disk/index-db.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { decodeStamp, type EntryRecord, encodeStamp, type Seen, seenKey } from '../../format/entry.ts'
import { compareStamps, type Stamp } from '../../format/stamp.ts'
import { equalBytes } from '../../util/bytes.ts'
import { type EntryState, laterPut, type PlacingPut, stampKey } from '../heads.ts'
import {
  decodeHead,
  decodeSeen,
  encodeHead,
  encodeHeadAlone,
  encodeSeen,
  type HeadFields,
  type StampFields
} from './head-codec.ts'
import { hasOwnRows, readHeadPasts } from './head-pasts.ts'

/** The fields of the put that placed an entry last. */
type PutFields = [id: Uint8Array, stamp: StampFields, placed: StampFields, epoch: Uint8Array]

/** The fields of the map that `SPEC.md` describes. */
interface StateFields {
  b: StampFields[]
  d: StampFields[]
  h: HeadFields[]
  /** Null if it is one of the heads, or if there is none. */
  l: PutFields | null
  o: number
  w: number
  u: number
}

/**
 * Encodes the state of an entry for its row. The row holds only the part of the past that decides which heads are
 * deleted. There is no bound on how much the records of an entry have seen, so the rest is in rows of the table `seen`.
 * If there are several heads, their pasts are in rows of their own.
 */
export function encodeState(state: EntryState): Uint8Array {
  const fields: StateFields = {
    b: deletedPastOfHeads(state).map(encodeSeen),
    d: deleteStampsOfHeads(state).map(encodeStamp),
    h: state.heads.map(hasOwnRows(state.heads) ? encodeHeadAlone : encodeHead),
    l: lastPutOf(state),
    o: state.older,
    w: state.writes,
    u: state.waiting
  }
  return encodeCanonical(fields)
}

/** Decodes a state. Returns undefined if what one of its heads has seen is not in the index. */
export async function readState(
  index: Pick<IndexDb, 'getMany'>,
  entry: Uint8Array,
  bytes: Uint8Array
): Promise<EntryState | undefined> {
  const row = decodeOwn(bytes) as StateFields
  const deletedPast = row.b.map(decodeSeen)
  const stamps = hasOwnRows(row.h) ? row.h.map(([, stamp]) => decodeStamp(stamp)) : []
  const pastOf = stamps.length === 0 ? undefined : await readHeadPasts(index, entry, stamps)
  if (stamps.length > 0 && pastOf === undefined) return undefined
  const heads = row.h.map(fields => decodeHead(entry, fields, pastOf))
  return {
    covered: new Map(),
    deletedPast: new Map(deletedPast.map(seen => [seenKey(seen.author, seen.incarnation), seen])),
    deleteStamps: new Set(row.d.map(stamp => stampKey(decodeStamp(stamp)))),
    heads,
    lastPut: row.l === null ? lastPutIn(heads) : decodePut(row.l),
    older: row.o,
    writes: row.w,
    waiting: row.u
  }
}

/** Returns the put that placed the entry last, unless it is one of the heads, where the reader finds it. */
function lastPutOf({ heads, lastPut }: EntryState): PutFields | null {
  if (lastPut === undefined || heads.some(({ id }) => equalBytes(id, lastPut.id))) return null
  const { id, stamp, placed, epoch } = lastPut
  return [id, encodeStamp(stamp), encodeStamp(placed), epoch]
}

function lastPutIn(heads: readonly EntryRecord[]): PlacingPut | undefined {
  return heads
    .filter(({ op }) => op === 'put')
    .reduce<PlacingPut | undefined>((last, head) => laterPut(last, head), undefined)
}

function decodePut([id, stamp, placed, epoch]: PutFields): PlacingPut {
  return { id, stamp: decodeStamp(stamp), placed: decodeStamp(placed), epoch, op: 'put' }
}

/** Returns what some delete has seen of the authors and incarnations that wrote the contents of the heads. */
function deletedPastOfHeads({ heads, deletedPast }: EntryState): Seen[] {
  if (deletedPast.size === 0) return []
  const wrote = new Set(heads.map(({ written }) => seenKey(written.author, written.incarnation)))
  return [...wrote].flatMap(key => deletedPast.get(key) ?? [])
}

/** Returns the stamps that heads name as their `written` although they are stamps of deletes. */
function deleteStampsOfHeads({ heads, deleteStamps }: EntryState): Stamp[] {
  if (deleteStamps.size === 0) return []
  const carried = heads.filter(({ op, written }) => op === 'put' && deleteStamps.has(stampKey(written)))
  return [...new Map(carried.map(({ written }) => [stampKey(written), written])).values()].sort(compareStamps)
}
