import { covers, type EntryRecord, REPLICAS_ALL, type Seen, seenKey } from '../format/entry.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import { compareBytes, equalBytes, toHex } from '../util/bytes.ts'
import { HEADS_MAX } from './constants.ts'

/**
 * What the records of one entry add up to, whatever the order in which they come. Pure: no I/O, no time, and no body is
 * opened, so a member that can read nothing computes the same. SPEC.md gives the rules.
 */

/** A causal past: the greatest hlc of each author's incarnation. */
export type Past = Map<string, Seen>

export interface EntryState {
  /** Everything that some record of the entry has seen. What is in it is no head. */
  covered: Past
  /** Everything that some delete has seen: puts whose content is that old are gone. */
  buried: Past
  /** Records that no other covers, in the order of their stamps: the last `HEADS_MAX` of them. */
  heads: EntryRecord[]
  /** There may be heads older than these. */
  hasMore: boolean
  /** Contents known, now or once: records that wrote, not those that carried. */
  writes: number
}

/** What shows of an entry. */
export interface Shown {
  isDeleted: boolean
  /** Whose content, time and type count; undefined if deleted. */
  content: EntryRecord | undefined
  /** Whose parent and name count; of what is deleted, where it last was. */
  place: EntryRecord
  /** Other contents that nobody chose against. */
  conflicts: EntryRecord[]
  /** Copies that its content wants; `REPLICAS_ALL` for every member. */
  replicas: number
}

export function emptyState(): EntryState {
  return { covered: new Map(), buried: new Map(), heads: [], hasMore: false, writes: 0 }
}

/**
 * Adds one record to the state. Each record is to be added once; in which order does not matter. False if a head that
 * was left out may be among the last ones now: then the state must be made anew.
 */
export function addRecord(state: EntryState, record: EntryRecord): boolean {
  note(state, record)
  const heads = state.heads.filter(head => !covers(record, head.stamp))
  if (!isIn(state.covered, record.stamp)) heads.push(record)
  setHeads(state, heads)
  // What was left out is older than all that was kept, and a record is later than each head that it covers.
  return !state.hasMore || heads.length >= HEADS_MAX
}

/** The state of records, in one pass over them. */
export function foldRecords(records: readonly EntryRecord[]): EntryState {
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
    if (record.op === 'delete') raise(state.buried, seen)
  }
  if (record.op === 'put' && isOrigin(record)) state.writes++
}

function setHeads(state: EntryState, heads: EntryRecord[]): void {
  heads.sort((a, b) => compareStamps(a.stamp, b.stamp) || compareBytes(a.id, b.id))
  if (heads.length > HEADS_MAX) state.hasMore = true
  state.heads = heads.slice(-HEADS_MAX)
}

/** True if the record wrote its content, rather than carrying what another wrote. */
export function isOrigin(record: EntryRecord): boolean {
  return compareStamps(record.stamp, record.written) === 0
}

/**
 * True if a record that carries this origin's content may do so: a delete has none to carry; of any other it is the same
 * root under the same epoch, since only an admin seals old content anew. Under another epoch the root would open for
 * nobody, and yet be the better of the two.
 */
export function mayCarry(record: EntryRecord, origin: EntryRecord, isAdmin: boolean): boolean {
  if (record.op === 'delete') return true
  if (origin.op === 'delete') return false
  if (isAdmin) return true
  return isSame(record.root, origin.root) && isSame(record.rootEpoch, origin.rootEpoch)
}

/** The causal past of whoever has seen every head: what the next write or delete names as `seen`. */
export function pastOfAll(heads: readonly EntryRecord[]): Seen[] {
  const past: Past = new Map()
  for (const head of heads) for (const seen of pastOf(head)) raise(past, seen)
  return [...past.values()]
}

/** A record's causal past, itself included. */
export function pastOf({ seen, stamp: { author, incarnation, hlc } }: EntryRecord): Seen[] {
  // Its own earlier writes may be among what it has seen; the record itself is after them.
  const others = seen.filter(item => !equalBytes(item.author, author) || !equalBytes(item.incarnation, incarnation))
  return [...others, { author, incarnation, hlc }]
}

/**
 * Folds the heads to what shows. `depthOf` gives the place of an epoch in the chain of epochs: content sealed in a later
 * one is the better of two that are otherwise equal.
 */
export function showEntry({ heads, buried }: EntryState, depthOf: (epoch: Uint8Array) => number): Shown {
  const puts = heads.filter(head => head.op === 'put' && !isIn(buried, head.written))
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

/** `all` above any number. */
function mostReplicas(puts: readonly EntryRecord[]): number {
  if (puts.some(({ replicas }) => replicas === REPLICAS_ALL)) return REPLICAS_ALL
  return Math.max(...puts.map(({ replicas }) => replicas))
}

// Of two records with one `written`: the deeper epoch, the greater root, the later stamp.
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

export function raise(past: Past, seen: Seen): void {
  const key = seenKey(seen.author, seen.incarnation)
  const before = past.get(key)
  if (before === undefined || before.hlc < seen.hlc) past.set(key, seen)
}

function isIn(past: Past, stamp: Stamp): boolean {
  const seen = past.get(seenKey(stamp.author, stamp.incarnation))
  return seen !== undefined && seen.hlc >= stamp.hlc
}

export function stampKey({ hlc, author, incarnation }: Stamp): string {
  return `${hlc} ${toHex(author)} ${toHex(incarnation)}`
}
