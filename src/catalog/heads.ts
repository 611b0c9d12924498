import { covers, type EntryRecord, REPLICAS_ALL, type Seen, seenKey } from '../format/entry.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import { compareBytes, equalBytes, NO_BYTES, toHex } from '../util/bytes.ts'

/**
 * Computes the state of one entry from its records, in any order. These functions are pure: they do no I/O, read no
 * clock and open no body, so that a member without keys computes the same state. SPEC.md has the rules.
 */

/** A causal past: the greatest hlc of each author and incarnation. */
export type Past = Map<string, Seen>

export type PlacingPut = Pick<EntryRecord, 'id' | 'stamp' | 'placed' | 'epoch' | 'op'>

export interface EntryState {
  /**
   * Everything that any record of the entry has seen, whether the record counts or not. A record in it is not a head.
   */
  covered: Past
  /** Everything that any delete has seen. If a put's content was written within it, the put is deleted. */
  deletedPast: Past
  /** Stamps of deletes that count, by `stampKey`. A put that names one of them as its `written` is deleted too. */
  deleteStamps: Set<string>
  /**
   * The records that no other record covers, in the order of their stamps. If there are more than `HEADS_MAX`, the last
   * ones.
   */
  heads: EntryRecord[]
  /** How many older heads than these there are. */
  older: number
  /** The put that placed the entry last, whether it is a head or not; undefined if there is none. */
  lastPut: PlacingPut | undefined
  /** The number of records that wrote content, rather than carrying the content of another record. */
  writes: number
  /**
   * The number of records that wait for the record whose content they carry, plus the number of items that they have
   * seen.
   */
  waiting: number
}

/** An entry as the tree shows it. */
export interface Shown {
  isDeleted: boolean
  /** The record whose content, time and type are shown; undefined if the entry is deleted. */
  content: EntryRecord | undefined
  /** The record whose parent and name count. If the entry is deleted, this was its last place. */
  place: EntryRecord
  /** Records with other content, which no author has knowingly replaced. */
  conflicts: EntryRecord[]
  /** The number of copies of the content that are wanted; `REPLICAS_ALL` for every member. */
  replicas: number
}

export function emptyState(): EntryState {
  const [covered, deletedPast, deleteStamps] = [new Map(), new Map(), new Set<string>()]
  return { covered, deletedPast, deleteStamps, heads: [], older: 0, lastPut: undefined, writes: 0, waiting: 0 }
}

/**
 * Returns the put with the later `placed`. If two twins have the same stamp, it returns the one with the smaller id, so
 * that the last put of an entry does not depend on the order in which its records arrive.
 */
export function laterPut(a: PlacingPut | undefined, b: PlacingPut): PlacingPut {
  return a === undefined || (compareStamps(b.placed, a.placed) || byStamp(b, a)) > 0 ? b : a
}

/**
 * Adds what a record has seen to the state. Only one of several records under one stamp counts, but this adds what each
 * of them has seen. Returns the items that the state did not have.
 */
export function addSeen(state: EntryState, { op, seen }: EntryRecord): Seen[] {
  return seen.filter(item => {
    const isNew = raise(state.covered, item)
    return (op === 'delete' && raise(state.deletedPast, item)) || isNew
  })
}

/** Returns those of some records that the state does not cover, in the order of their stamps. */
export function uncovered({ covered }: EntryState, records: readonly EntryRecord[]): EntryRecord[] {
  return records.filter(({ stamp }) => !isIn(covered, stamp)).sort((a, b) => compareStamps(a.stamp, b.stamp))
}

/** Returns true if the record wrote its content, rather than carrying the content of another record. */
export function isOrigin(record: EntryRecord): boolean {
  return compareStamps(record.stamp, record.written) === 0
}

/**
 * Returns the causal past of a member that has seen all of these heads. The member's next write or delete names this
 * past as `seen`.
 */
export function pastOfAll(heads: readonly EntryRecord[]): Seen[] {
  return [...pastFrom(heads).values()]
}

/** Returns what these heads have seen, themselves included, by author and incarnation. */
export function pastFrom(heads: readonly EntryRecord[]): Past {
  const past: Past = new Map()
  for (const head of heads) for (const seen of pastOf(head)) raise(past, seen)
  return past
}

/** Returns the causal past of a record, which includes the record itself. */
export function pastOf({ seen, stamp: { author, incarnation, hlc } }: EntryRecord): Seen[] {
  // The record may have seen earlier records of its own author and incarnation. Its own stamp is later than theirs.
  const others = seen.filter(item => !equalBytes(item.author, author) || !equalBytes(item.incarnation, incarnation))
  return [...others, { author, incarnation, hlc }]
}

/** Returns the heads that are puts and that no delete has beaten. If there are none, the entry is deleted. */
export function liveHeads({
  heads,
  deletedPast,
  deleteStamps
}: Pick<EntryState, 'heads' | 'deletedPast' | 'deleteStamps'>): EntryRecord[] {
  const isDeletedWrite = (stamp: Stamp): boolean =>
    isIn(deletedPast, stamp) || (deleteStamps.size > 0 && deleteStamps.has(stampKey(stamp)))
  return heads.filter(head => head.op === 'put' && !isDeletedWrite(head.written))
}

/**
 * Computes from the heads of an entry how the entry is shown. There must be at least one head. `depthOf` returns the
 * position of an epoch in the chain of epochs. If two contents have the same `written` stamp, the one sealed in the
 * later epoch wins.
 */
export function showEntry(
  { heads, deletedPast, deleteStamps }: Pick<EntryState, 'heads' | 'deletedPast' | 'deleteStamps'>,
  depthOf: (epoch: Uint8Array) => number
): Shown {
  const puts = liveHeads({ heads, deletedPast, deleteStamps })
  const isDeleted = puts.length === 0
  const place = lastPlaced(isDeleted ? heads : puts)
  if (isDeleted) return { isDeleted, content: undefined, place, conflicts: [], replicas: 1 }
  const isBetter = (a: EntryRecord, b: EntryRecord): number => compareContents(a, b, depthOf)
  const content = greatest(puts, (a, b) => compareStamps(a.written, b.written) || isBetter(a, b))
  const conflicts = puts.filter(
    put =>
      put !== content &&
      !isSame(put.root, content.root) &&
      !puts.some(other => {
        if (other === put) return false
        const isSameWrite = compareStamps(other.written, put.written) === 0
        return isSameWrite ? isBetter(other, put) > 0 : covers(other, put.written)
      })
  )
  return { isDeleted, content, place, conflicts, replicas: mostReplicas(puts) }
}

/** Returns the record that places an entry, which must have a head. It does not depend on the order of the epochs. */
export function placeOf(state: Pick<EntryState, 'heads' | 'deletedPast' | 'deleteStamps'>): EntryRecord {
  const live = liveHeads(state)
  return lastPlaced(live.length === 0 ? state.heads : live)
}

/**
 * Returns the records that say where an entry is, or was. A deleted file is where its last put placed it, because a
 * delete of a file does not say it.
 */
export function placingRecords(state: EntryState): PlacingPut[] {
  const place = placeOf(state)
  return state.lastPut === undefined || liveHeads(state).length > 0 ? [place] : [place, state.lastPut]
}

/** Returns the stamp of the last delete among the heads of a deleted entry. */
export function deletedAt({ heads }: Pick<EntryState, 'heads'>): Stamp {
  const deletes = heads.filter(({ op }) => op === 'delete')
  return greatest(deletes.length > 0 ? deletes : heads, byStamp).stamp
}

function lastPlaced(records: readonly EntryRecord[]): EntryRecord {
  return greatest(records, (a, b) => compareStamps(a.placed, b.placed) || byStamp(a, b))
}

/** Returns the greatest number of copies that any put asks for. `REPLICAS_ALL` is greater than any number. */
function mostReplicas(puts: readonly EntryRecord[]): number {
  if (puts.some(({ replicas }) => replicas === REPLICAS_ALL)) return REPLICAS_ALL
  return puts.reduce((most, { replicas }) => Math.max(most, replicas), 0)
}

// For records with the same `written`: the deeper epoch wins, then the greater root, then the later stamp.
function compareContents(a: EntryRecord, b: EntryRecord, depthOf: (epoch: Uint8Array) => number): number {
  const depth = (record: EntryRecord): number => (record.rootEpoch === null ? 0 : depthOf(record.rootEpoch))
  return depth(a) - depth(b) || compareBytes(a.root ?? NO_BYTES, b.root ?? NO_BYTES) || byStamp(a, b)
}

function byStamp(a: Pick<EntryRecord, 'id' | 'stamp'>, b: Pick<EntryRecord, 'id' | 'stamp'>): number {
  return compareStamps(a.stamp, b.stamp) || compareBytes(b.id, a.id)
}

function isSame(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b)
}

function greatest(records: readonly EntryRecord[], compare: (a: EntryRecord, b: EntryRecord) => number): EntryRecord {
  return records.reduce((best, record) => (compare(record, best) > 0 ? record : best))
}

/**
 * Adds what was seen of one author and incarnation to a past, which keeps the greatest hlc. Returns true if that
 * changed the past.
 */
export function raise(past: Past, seen: Seen): boolean {
  const key = seenKey(seen.author, seen.incarnation)
  const before = past.get(key)
  if (before !== undefined && before.hlc >= seen.hlc) return false
  past.set(key, seen)
  return true
}

/** Returns true if the past holds this stamp, or a later one of its author and incarnation. */
export function isIn(past: Past, stamp: Stamp): boolean {
  const seen = past.get(seenKey(stamp.author, stamp.incarnation))
  return seen !== undefined && seen.hlc >= stamp.hlc
}

/** A stamp as the key of a map. */
export function stampKey({ hlc, author, incarnation }: Stamp): string {
  return `${hlc} ${toHex(author)} ${toHex(incarnation)}`
}
