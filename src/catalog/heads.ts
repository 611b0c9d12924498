import { covers, type EntryRecord, REPLICAS_ALL, type Seen, seenKey } from '../format/entry.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import { compareBytes, equalBytes, toHex } from '../util/bytes.ts'
import { HEADS_MAX } from './constants.ts'

/**
 * Computes the state of one entry from its records, in any order. These functions are pure: they do no I/O, read no
 * clock and open no body, so that a member without keys computes the same state. SPEC.md has the rules.
 */

/** A causal past: the greatest hlc of each author and incarnation. */
export type Past = Map<string, Seen>

export interface EntryState {
  /** Everything that any record of the entry has seen. A record that is part of it is not a head. */
  covered: Past
  /** Everything that any delete has seen. If a put's content was written within it, the put is deleted. */
  deletedPast: Past
  /**
   * The records that no other record covers, in the order of their stamps. If there are more than `HEADS_MAX`, the last
   * ones.
   */
  heads: EntryRecord[]
  /** True if there may be older heads than these. */
  hasMore: boolean
  /** The number of records that wrote content, rather than carrying the content of another record. */
  writes: number
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
  return { covered: new Map(), deletedPast: new Map(), heads: [], hasMore: false, writes: 0 }
}

/**
 * Adds one record to the state. Add each record once, in any order. Returns false if a head that was left out may now
 * be among the last `HEADS_MAX`. The caller must then recompute the state from all records with `stateOf`.
 */
export function addRecord(state: EntryState, record: EntryRecord): boolean {
  note(state, record)
  const heads = state.heads.filter(head => !covers(record, head.stamp))
  if (!isIn(state.covered, record.stamp)) heads.push(record)
  setHeads(state, heads)
  // The heads that were left out are older than all heads that are kept, and a record is later than each head that it
  // covers.
  return !state.hasMore || heads.length >= HEADS_MAX
}

/** Computes the state of an entry from all of its records. */
export function stateOf(records: readonly EntryRecord[]): EntryState {
  const state = emptyState()
  for (const record of records) note(state, record)
  setHeads(
    state,
    records.filter(({ stamp }) => !isIn(state.covered, stamp))
  )
  return state
}

function note(state: EntryState, record: EntryRecord): void {
  for (const seen of record.seen) {
    raise(state.covered, seen)
    if (record.op === 'delete') raise(state.deletedPast, seen)
  }
  if (record.op === 'put' && isOrigin(record)) state.writes++
}

function setHeads(state: EntryState, heads: EntryRecord[]): void {
  heads.sort((a, b) => compareStamps(a.stamp, b.stamp) || compareBytes(a.id, b.id))
  if (heads.length > HEADS_MAX) state.hasMore = true
  state.heads = heads.slice(-HEADS_MAX)
}

/** Returns true if the record wrote its content, rather than carrying the content of another record. */
export function isOrigin(record: EntryRecord): boolean {
  return compareStamps(record.stamp, record.written) === 0
}

/**
 * Returns true if a record may carry the content of this origin. A delete carries no content. Any other record must
 * have the origin's root and epoch, unless its author is an admin: only admins seal old content again. Nobody could
 * open a root that is named with a wrong epoch, and yet it could win over the true one.
 */
export function mayCarry(record: EntryRecord, origin: EntryRecord, isAdmin: boolean): boolean {
  if (record.op === 'delete') return true
  if (origin.op === 'delete') return false
  if (isAdmin) return true
  return isSame(record.root, origin.root) && isSame(record.rootEpoch, origin.rootEpoch)
}

/**
 * The causal past of a member that has seen all of these heads. The member's next write or delete names this past as
 * `seen`.
 */
export function pastOfAll(heads: readonly EntryRecord[]): Seen[] {
  const past: Past = new Map()
  for (const head of heads) for (const seen of pastOf(head)) raise(past, seen)
  return [...past.values()]
}

/** The causal past of a record, which includes the record itself. */
export function pastOf({ seen, stamp: { author, incarnation, hlc } }: EntryRecord): Seen[] {
  // The record may have seen earlier records of its own author and incarnation. It comes after all of them itself.
  const others = seen.filter(item => !equalBytes(item.author, author) || !equalBytes(item.incarnation, incarnation))
  return [...others, { author, incarnation, hlc }]
}

/**
 * Computes from the heads of an entry how the entry is shown. `depthOf` returns the position of an epoch in the chain
 * of epochs. If two contents have the same `written` stamp, the one sealed in the later epoch wins.
 */
export function showEntry({ heads, deletedPast }: EntryState, depthOf: (epoch: Uint8Array) => number): Shown {
  const puts = heads.filter(head => head.op === 'put' && !isIn(deletedPast, head.written))
  const isDeleted = puts.length === 0
  const place = greatest(isDeleted ? heads : puts, (a, b) => compareStamps(a.placed, b.placed) || byStamp(a, b))
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

/** Returns the greatest number of copies that any put asks for. `REPLICAS_ALL` is greater than any number. */
function mostReplicas(puts: readonly EntryRecord[]): number {
  if (puts.some(({ replicas }) => replicas === REPLICAS_ALL)) return REPLICAS_ALL
  return Math.max(...puts.map(({ replicas }) => replicas))
}

// For records with the same `written`: the deeper epoch wins, then the greater root, then the later stamp.
function compareContents(a: EntryRecord, b: EntryRecord, depthOf: (epoch: Uint8Array) => number): number {
  const depth = (record: EntryRecord): number => (record.rootEpoch === null ? 0 : depthOf(record.rootEpoch))
  return depth(a) - depth(b) || compareBytes(a.root ?? new Uint8Array(0), b.root ?? new Uint8Array(0)) || byStamp(a, b)
}

function byStamp(a: EntryRecord, b: EntryRecord): number {
  return compareStamps(a.stamp, b.stamp) || compareBytes(b.id, a.id)
}

function isSame(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b)
}

function greatest(records: readonly EntryRecord[], compare: (a: EntryRecord, b: EntryRecord) => number): EntryRecord {
  return records.reduce((best, record) => (compare(record, best) > 0 ? record : best))
}

/** Adds what was seen of one author and incarnation to a past, which keeps the greatest hlc. */
export function raise(past: Past, seen: Seen): void {
  const key = seenKey(seen.author, seen.incarnation)
  const before = past.get(key)
  if (before === undefined || before.hlc < seen.hlc) past.set(key, seen)
}

function isIn(past: Past, stamp: Stamp): boolean {
  const seen = past.get(seenKey(stamp.author, stamp.incarnation))
  return seen !== undefined && seen.hlc >= stamp.hlc
}

/** A stamp as the key of a map. */
export function stampKey({ hlc, author, incarnation }: Stamp): string {
  return `${hlc} ${toHex(author)} ${toHex(incarnation)}`
}
