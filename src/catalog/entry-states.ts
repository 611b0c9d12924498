import type { IndexDb } from '../disk/index-db.ts'
import type { IndexSink } from '../disk/index-sink.ts'
import type { EntryRecord, Seen } from '../format/entry.ts'
import { seenKey } from '../format/entry.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import { compareBytes, equalBytes, NO_BYTES } from '../util/bytes.ts'
import { type Admitted, CarriedContents } from './carried-contents.ts'
import { HEADS_MAX } from './constants.ts'
import { addSeen, type EntryState, emptyState, isOrigin, laterPut, stampKey, uncovered } from './heads.ts'
import type { NewRecord } from './record-reader.ts'
import { writeHeadPasts } from './rows/head-pasts.ts'
import { carriedKey, recordsKey, twinKey } from './rows/keys.ts'
import { OlderHeads } from './rows/older-heads.ts'
import { loadPast, writePast } from './rows/past-rows.ts'
import { decodeRecordRow, encodeRecordRow, type RecordRow, recordRowOf, writtenTag } from './rows/record-rows.ts'
import { VersionNotes } from './versions/notes.ts'

/** The record that counts under a stamp, if it is new, and the one that counted there before. */
interface Counted {
  record: EntryRecord | undefined
  before: RecordRow | undefined
}

/**
 * Adds records to the states of entries. The records that an entry already has are never read again: their sum is in
 * rows that a new record changes one by one, so the cost of a record is bounded by what it names.
 */
export class EntryStates {
  readonly #index: IndexDb
  readonly #covered = new WeakMap<IndexSink, Uint8Array[]>()

  constructor(index: IndexDb) {
    this.#index = index
  }

  /**
   * Adds records to the state of one entry, and writes all rows of the entry but the one in `entries`. Throws a
   * `FormatError` if too many records of the entry would wait for others.
   */
  async add(
    entry: Uint8Array,
    before: EntryState | undefined,
    added: readonly NewRecord[],
    sink: IndexSink
  ): Promise<EntryState> {
    if (before === undefined && added.length === 1 && isFirstPut(added[0] as NewRecord))
      return addFirst(added[0] as NewRecord, sink)
    const state = before ?? emptyState()
    const admitted = await new CarriedContents(this.#index, entry).admit(state, added, sink)
    admitted.sort((a, b) => byStampAndId(a.record, b.record))
    const records = admitted.map(({ record }) => record)
    if (before !== undefined) await loadPast(this.#index, entry, state, namedBy(records))
    for (const record of records) if (record.op === 'put') state.lastPut = laterPut(state.lastPut, record)
    const notes = new VersionNotes(this.#index, entry, state)
    const raised = new Map<string, Seen>()
    for (const record of records)
      for (const { author, incarnation } of addSeen(state, record)) {
        const key = seenKey(author, incarnation)
        // A delete may raise only the deleted past, because other records have already seen a later stamp. So the item
        // is taken from the covered past.
        raised.set(key, state.covered.get(key) as Seen)
      }
    writePast(sink, entry, state, raised.keys())
    const counted = await this.#count(state, admitted, { isNew: before === undefined, notes, sink })
    if (before !== undefined)
      await this.#findDeletes(
        state,
        counted.flatMap(({ record }) => record ?? []),
        counted
      )
    const olderGone = await this.#setHeads(entry, state, counted, { raised, sink })
    await notes.write({ admitted, added, raised, olderGone }, sink)
    return state
  }

  /** Returns the ids of the puts that have been covered by what was added to this sink. */
  coveredIn(sink: IndexSink): readonly Uint8Array[] {
    return this.#covered.get(sink) ?? []
  }

  #noteCovered(sink: IndexSink, ids: Iterable<Uint8Array>): void {
    const noted = this.#covered.get(sink) ?? []
    this.#covered.set(sink, noted)
    for (const id of ids) noted.push(id)
  }

  /** Decides which record counts under each stamp. The records must be in the order of `byStampAndId`. */
  async #count(
    state: EntryState,
    admitted: readonly Admitted[],
    { isNew, notes, sink }: { isNew: boolean; notes: VersionNotes; sink: IndexSink }
  ): Promise<Counted[]> {
    const counted: Counted[] = []
    const stampAt = (i: number): Stamp => (admitted[i] as Admitted).record.stamp
    for (let start = 0; start < admitted.length; ) {
      const { entry, stamp } = (admitted[start] as Admitted).record
      let end = start + 1
      while (end < admitted.length && compareStamps(stampAt(end), stamp) === 0) end++
      const value = isNew ? undefined : await this.#index.get(recordsKey(entry, stamp))
      const before = value === undefined ? undefined : decodeRecordRow(value)
      counted.push(countTwins(state, before, admitted.slice(start, end), { notes, sink }))
      start = end
    }
    return counted
  }

  /**
   * Finds the heads whose `written` is the stamp of a delete. Such a head carries no content, because a delete wrote
   * none. Stamps under which a record has just begun to count are skipped, because the index does not know these
   * records yet.
   */
  async #findDeletes(state: EntryState, heads: readonly EntryRecord[], counted: readonly Counted[]): Promise<void> {
    const justCounted = new Set(counted.flatMap(({ record }) => (record ? [stampKey(record.stamp)] : [])))
    for (const head of heads) {
      if (head.op === 'delete' || isOrigin(head)) continue
      const key = stampKey(head.written)
      if (justCounted.has(key)) continue
      const value = await this.#index.get(recordsKey(head.entry, head.written))
      if (value !== undefined && decodeRecordRow(value).isDelete) state.deleteStamps.add(key)
    }
  }

  /**
   * Computes the heads. The latest ones stay in the state, and the older ones get rows of their own. Returns the stamps
   * of older heads that are heads no longer.
   */
  async #setHeads(
    entry: Uint8Array,
    state: EntryState,
    counted: readonly Counted[],
    { raised, sink }: { raised: ReadonlyMap<string, Seen>; sink: IndexSink }
  ): Promise<readonly Stamp[]> {
    const older = new OlderHeads(this.#index, entry)
    const before = state.heads
    const oldest = before[0]?.stamp
    const replaced = counted.filter(({ record, before }) => record !== undefined && before !== undefined)
    const isReplaced = ({ stamp }: EntryRecord): boolean =>
      replaced.some(({ record }) => compareStamps((record as EntryRecord).stamp, stamp) === 0)
    const kept = replaced.length === 0 ? state.heads : state.heads.filter(head => !isReplaced(head))
    const candidates = [...kept, ...counted.flatMap(({ record }) => record ?? [])]
    let heads = uncovered(state, candidates)
    const stillHeads = new Set(heads)
    const covered = candidates.filter(record => record.op === 'put' && !stillHeads.has(record))
    this.#noteCovered(
      sink,
      covered.map(({ id }) => id)
    )
    let returned: EntryRecord[] = []
    let gone: readonly Stamp[] = []
    if (state.older > 0) {
      for (const { record } of replaced) await older.replace(sink, (record as EntryRecord).stamp)
      const stamps = await older.removeCovered(sink, raised, state.older)
      this.#noteCovered(sink, await this.#putsUnder(entry, stamps))
      gone = older.removed
      state.older -= gone.length
      // Every older head is older than all heads that the state had before.
      const isComplete = heads.filter(({ stamp }) => compareStamps(stamp, oldest as Stamp) >= 0).length >= HEADS_MAX
      if (state.older > 0 && !isComplete) {
        returned = await this.#olderHeads(entry, state, { older, counted })
        heads = [...heads, ...returned].sort(byStampAndId)
      }
    }
    state.heads = heads.slice(-HEADS_MAX)
    writeHeadPasts(sink, entry, before, state.heads)
    const back = new Set(returned)
    for (const head of heads.slice(0, -HEADS_MAX)) {
      if (back.delete(head)) continue
      older.add(sink, head)
      state.older++
    }
    for (const head of back) older.remove(sink, head.stamp)
    state.older -= back.size
    return gone
  }

  /** Returns the ids of the puts that count under these stamps. */
  async #putsUnder(entry: Uint8Array, stamps: readonly Stamp[]): Promise<Uint8Array[]> {
    const values = await this.#index.getMany(stamps.map(stamp => recordsKey(entry, stamp)))
    const rows = values.flatMap(value => (value === undefined ? [] : decodeRecordRow(value)))
    return rows.filter(({ isDelete }) => !isDelete).map(({ id }) => id)
  }

  /** Returns the latest of the older heads, and loads what `showEntry` must know about them. */
  async #olderHeads(
    entry: Uint8Array,
    state: EntryState,
    { older, counted }: { older: OlderHeads; counted: readonly Counted[] }
  ): Promise<EntryRecord[]> {
    const heads = await older.latest()
    await loadPast(
      this.#index,
      entry,
      state,
      heads.map(head => head.written)
    )
    await this.#findDeletes(state, heads, counted)
    return heads
  }
}

/** Returns true for the record with which nearly every entry begins: a put that has seen nothing and wrote its content. */
function isFirstPut({ record }: NewRecord): boolean {
  return record.op === 'put' && record.seen.length === 0 && isOrigin(record)
}

/**
 * Returns the state of an entry that has only its first put, and writes the row of the put. It is what the general way
 * comes to, in a small part of the time.
 */
function addFirst({ record, arrivedAtMs }: NewRecord, sink: IndexSink): EntryState {
  const row = recordRowOf(record, arrivedAtMs)
  sink.put(recordsKey(record.entry, record.stamp), encodeRecordRow(row))
  return { ...emptyState(), heads: [record], lastPut: record, writes: countOf(row) }
}

/**
 * Decides which of several records under one stamp counts: the one with the smallest id. `before` is what the index says
 * about the stamp. A record that does not count has a row of its own, and what it wrote may be carried all the same.
 */
function countTwins(
  state: EntryState,
  before: RecordRow | undefined,
  twins: readonly Admitted[],
  { notes, sink }: { notes: VersionNotes; sink: IndexSink }
): Counted {
  const { entry, stamp } = (twins[0] as Admitted).record
  const rows = twins.map(({ record, arrivedAtMs }) => recordRowOf(record, arrivedAtMs))
  if (before !== undefined) rows.push(before)
  const first = rows.reduce((least, row) => (compareBytes(row.id, least.id) < 0 ? row : least))
  for (const row of rows) {
    const { id } = row
    if (equalBytes(id, first.id)) continue
    sink.put(twinKey({ entry, stamp, id }), NO_BYTES)
    const tag = writtenTag(row)
    if (tag === undefined) continue
    sink.put(carriedKey(entry, stamp, tag), NO_BYTES)
    notes.twin(stamp, row, sink)
  }
  // The version of a stamp stays dropped, whichever of its records counts.
  const isDropped = before?.isDropped === true && first.wrote
  if (first !== before) sink.put(recordsKey(entry, stamp), encodeRecordRow({ ...first, isDropped }))
  if (first.isDelete) state.deleteStamps.add(stampKey(stamp))
  else if (before !== undefined) state.deleteStamps.delete(stampKey(stamp))
  state.writes += countOf(first) - countOf(before)
  return {
    record: first === before ? undefined : twins.find(({ record }) => equalBytes(record.id, first.id))?.record,
    before
  }
}

function countOf(row: RecordRow | undefined): number {
  return row?.wrote === true ? 1 : 0
}

function* namedBy(records: readonly EntryRecord[]): Generator<Pick<Seen, 'author' | 'incarnation'>> {
  for (const { stamp, written, seen } of records) {
    yield stamp
    yield written
    yield* seen
  }
}

/** The order in which records are added: by stamp, then by id. */
export function byStampAndId(a: EntryRecord, b: EntryRecord): number {
  return compareStamps(a.stamp, b.stamp) || compareBytes(a.id, b.id)
}
