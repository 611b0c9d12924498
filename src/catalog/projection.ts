import { Blocks } from '../blocks/blocks.ts'
import type { RecordRef } from '../blocks/record-ref.ts'
import type { IndexDb } from '../disk/index-db.ts'
import type { IndexSink } from '../disk/index-sink.ts'
import type { BlockCid } from '../format/cid.ts'
import { type EntryRecord, rootOf } from '../format/entry.ts'
import type { Kind } from '../format/kinds.ts'
import { peerIdOf } from '../format/peer-id.ts'
import { decodeReplicas } from '../format/replicas.ts'
import type { Statement } from '../format/statement.ts'
import type { AcceptedStatement, Change, Projection } from '../log/projection.ts'
import { equalBytes, NO_BYTES, toHex } from '../util/bytes.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import type { Bodies } from './bodies.ts'
import { isEntitled, keyOfWaiting } from './carried-contents.ts'
import { byStampAndId, EntryStates } from './entry-states.ts'
import { FeedRecorder } from './feed/feed-recorder.ts'
import { type EntryFacts, factsOf } from './feed/look.ts'
import { liveHeads, placeOf, placingRecords } from './heads.ts'
import type { Names } from './names.ts'
import { type EntryPlace, Places } from './places.ts'
import { type NewRecord, RecordReader } from './record-reader.ts'
import { changeFileCount, filesIn } from './rows/counts-row.ts'
import { Cycles } from './rows/cycles.ts'
import { DirectoryChanges } from './rows/directory-changes.ts'
import { type EntryRow, placeKey, readEntryRow } from './rows/entry-row.ts'
import { entryKey, recordsKey, recordsOf, sealedKey, twinKey } from './rows/keys.ts'
import { hasName } from './rows/name-rows.ts'
import { hasPast } from './rows/past-rows.ts'
import { type PendingRow, PendingRows } from './rows/pending-rows.ts'
import { isOfRecord } from './rows/record-rows.ts'
import { showAgain } from './rows/shown-again.ts'
import { encodeState } from './rows/state-codec.ts'
import { writeWaiting } from './rows/waiting.ts'
import { hasCancel } from './versions/notes.ts'

export interface CatalogProjectionOptions {
  index: IndexDb
  bodies: Bodies
  names: Names
  logger: ComponentLogger
  /** The codecs that manifest nodes may have. */
  nodeCodecs: readonly number[]
  /** Returns true if nothing is left to do for the content of a record that is being accepted. */
  isSettled?: ((record: RecordRef) => boolean) | undefined
  /** Called with records that were just accepted. */
  onRecords: (records: readonly EntryRecord[]) => void
  /** Called when such records may have ended versions. */
  onVersionNews: () => void
}

/** How a batch changes one entry. */
interface EntryUpdate extends PendingRow, Pick<EntryPlace, 'value'> {
  /** When the first record that the batch has of it reached this member, in ms since the Unix epoch. */
  arrivedAtMs: number
  facts: EntryFacts
}

/** New records of one entry. */
interface Group {
  entry: Uint8Array
  added: readonly NewRecord[]
  /** Records that the index has, and that have arrived again. */
  again: readonly NewRecord[]
  /** When the first of them reached this member. */
  arrivedAtMs: number
}

/**
 * Updates the tree in the index as records arrive. Each entry has two parts there: the state of its records, and its
 * row in the parent's listing. A record that is already in the index changes nothing, so a replay is harmless. Nothing
 * of the tree is kept in memory.
 */
export class CatalogProjection implements Projection {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['entry'])
  readonly #options: CatalogProjectionOptions
  readonly #log: Logger
  readonly #reader: RecordReader
  readonly #states: EntryStates
  readonly #feed: FeedRecorder
  readonly #places: Places

  constructor(options: CatalogProjectionOptions) {
    const { index, logger, nodeCodecs } = options
    this.#feed = new FeedRecorder(options)
    this.#options = options
    this.#log = logger.forComponent('dfs:catalog:projection')
    this.#reader = new RecordReader(nodeCodecs)
    this.#states = new EntryStates(index)
    this.#places = new Places(options)
  }

  check(statement: Statement, author: Uint8Array): void {
    this.#reader.read(statement as Statement<'entry'>, author)
  }

  /**
   * Throws a `FormatError` for a record that breaks a rule, or that would have to wait although too many records wait
   * already.
   */
  async project({ added: items }: Change, sink: IndexSink): Promise<void> {
    const { index } = this.#options
    const groups = await this.#groupsOf(items as ReadonlyArray<AcceptedStatement<'entry'>>)
    const updates: EntryUpdate[] = []
    for (let start = 0; start < groups.length; start += ENTRIES_AT_ONCE) {
      const some = groups.slice(start, start + ENTRIES_AT_ONCE)
      const before = await index.getMany(some.map(({ entry }) => entryKey(entry)))
      for (const [i, group] of some.entries()) {
        if (before[i] === undefined) await this.#assertNew(group)
        const update = await this.#update(group, before[i], sink)
        if (update !== undefined) updates.push(update)
      }
    }
    if (updates.length === 0) return
    await this.#placeAll(updates, sink)
    this.#log.trace('%d statements changed %d entries', items.length, updates.length)
  }

  coveredIn(sink: IndexSink): readonly Uint8Array[] {
    return this.#states.coveredIn(sink)
  }

  applied({ added }: Change): void {
    const entries = added as ReadonlyArray<AcceptedStatement<'entry'>>
    const records = entries.map(({ statement, author }) => this.#reader.read(statement, author))
    this.#options.onRecords(records)
    // A record may also have been seen by one that arrived before it.
    if (records.some(({ seen }) => seen.length > 0)) this.#options.onVersionNews()
  }

  async isIndexed({ statement, author, role }: AcceptedStatement): Promise<boolean> {
    const { index } = this.#options
    const record = this.#reader.read(statement as Statement<'entry'>, author)
    const root = cidOf(record)
    // A record claims its root until it is released. Its other claims follow from it: the walk of the record writes them.
    if (root !== undefined && !(await hasClaim(index, { id: record.id, root }))) return false
    if (!(await this.#isKnown({ record, role }, await index.get(recordsKey(record.entry, record.stamp))))) return false
    const value = await index.get(entryKey(record.entry))
    if (value === undefined) return false
    const row = await readEntryRow(index, record.entry, value)
    if (!(await hasPast(index, record, row.state))) return false
    if (!(await hasCancel(index, record, statement as Statement<'entry'>))) return false
    if (row.isSealed) return this.#isSealedRow(record.entry, row)
    const key = placeKey(record.entry, row)
    return key === undefined || ((await index.has(key)) && (row.isHidden || (await hasName(index, key))))
  }

  async #isSealedRow(entry: Uint8Array, { state }: EntryRow): Promise<boolean> {
    for (const { epoch } of placingRecords(state))
      if (await this.#options.index.has(sealedKey(epoch, entry))) return true
    return false
  }

  /** Returns the records that the index does not have, by entry, in the order in which they are added. */
  async #groupsOf(items: ReadonlyArray<AcceptedStatement<'entry'>>): Promise<Group[]> {
    const records = items.map(({ statement, author, role, arrivedAtMs }): NewRecord => {
      return { statement, role, arrivedAtMs, record: this.#reader.read(statement, author) }
    })
    const known = await this.#options.index.getMany(records.map(({ record }) => recordsKey(record.entry, record.stamp)))
    const groups = new Map<string, { [K in keyof Group]: K extends 'added' | 'again' ? NewRecord[] : Group[K] }>()
    for (const [i, item] of records.entries()) {
      const { entry } = item.record
      const key = toHex(entry)
      const { arrivedAtMs } = items[i] as AcceptedStatement
      const group = groups.get(key) ?? { entry, added: [], again: [], arrivedAtMs }
      groups.set(key, group)
      group.arrivedAtMs = Math.min(group.arrivedAtMs, arrivedAtMs)
      // Nearly all records are new, and this shows it without another read of the index.
      const isNew = known[i] === undefined && isEntitled(item)
      if (!isNew && (await this.#isKnown(item, known[i]))) group.again.push(item)
      else group.added.push(item)
    }
    for (const { added } of groups.values())
      if (added.length > 1) added.sort((a, b) => byStampAndId(a.record, b.record))
    return [...groups.values()].map(({ added, ...rest }) => ({ ...rest, added: added.filter(isFirst) }))
  }

  /** Returns true if the index has a record, given the row of the record's stamp. */
  async #isKnown(item: Pick<NewRecord, 'record' | 'role'>, row: Uint8Array | undefined): Promise<boolean> {
    const { index } = this.#options
    if (isOfRecord(row, item.record.id)) return true
    if (row !== undefined && (await index.has(twinKey(item.record)))) return true
    return !isEntitled(item) && index.has(keyOfWaiting(item.record))
  }

  /**
   * Throws an `IndexCorruptError` if the index had this entry, and has lost its row. Without that row nobody would know
   * where the entry was, and it would then show in two places.
   */
  async #assertNew({ entry, added, again }: Group): Promise<void> {
    const { index } = this.#options
    // The first record of an entry has seen nothing. Nearly all entries without a row begin with it.
    const mayHaveRow = again.length > 0 || added.some(({ record }) => record.seen.length > 0)
    if (mayHaveRow && (await index.hasAny(recordsOf(entry))))
      throw index.reportCorrupt('the index lacks the row of an entry')
  }

  /**
   * Adds records to one entry, and writes all of its rows but those of the tree. Returns undefined if nothing changes.
   */
  async #update(group: Group, value: Uint8Array | undefined, sink: IndexSink): Promise<EntryUpdate | undefined> {
    const { entry, added, again, arrivedAtMs } = group
    const old = value === undefined ? undefined : await readEntryRow(this.#options.index, entry, value)
    if (added.length === 0 && !isPlacedBy(old, again)) return undefined
    // All three must come first, since the state is changed in place.
    if (old?.isSealed === true) for (const { epoch } of placingRecords(old.state)) sink.del(sealedKey(epoch, entry))
    const before = old?.name === undefined || old.isDeleted || old.isDamaged ? undefined : placeOf(old.state).id
    const liveBefore = old === undefined ? [] : liveHeads(old.state)
    const state = await this.#states.add(entry, old?.state, added, sink)
    for (const { record } of added) writeClaim(sink, record, this.#options.isSettled)
    const place = await this.#places.of(entry, state, [...added, ...again], { old, before })
    const { value: listed, sealedIn, ...row } = place
    if (sealedIn !== undefined) sink.put(sealedKey(sealedIn, entry), NO_BYTES)
    // Until it is known what is below it, a deleted directory shows if it did so before.
    const wasShown = old?.name !== undefined && old.isDeleted && !old.isHidden
    const isHidden = row.isDeleted && row.name !== undefined && !(row.kind === 'directory' && wasShown)
    const facts = factsOf(added.at(-1)?.record, liveBefore, liveHeads(state))
    return { entry, old, row: { ...row, isHidden }, state: encodeState(state), value: listed, arrivedAtMs, facts }
  }

  /** Writes the rows of the tree that a batch changes. */
  async #placeAll(updates: readonly EntryUpdate[], sink: IndexSink): Promise<void> {
    const { index } = this.#options
    const changes = new DirectoryChanges(index)
    const rows = new PendingRows(index, changes)
    const cycles = new Cycles(index, rows, changes)
    const arrivals = new Map(updates.map(({ entry, arrivedAtMs }) => [toHex(entry), arrivedAtMs]))
    let files = 0
    for (const { entry, old, row, state, value } of updates) {
      rows.set({ entry, old, row, state }, value)
      files += filesIn(row) - filesIn(old)
    }
    await changeFileCount({ index, sink, by: files, isFirst: updates.every(({ old }) => old === undefined) })
    await cycles.find()
    await showAgain({ rows, changes, cycles })
    await writeWaiting({ index, rows, changes, sink, arrivals })
    const names = await changes.write(sink)
    cycles.write(sink)
    rows.write(sink)
    const facts = new Map(updates.map(({ entry, facts }) => [toHex(entry), facts]))
    await this.#feed.record({ rows, changes, cycles, names, facts, arrivals }, sink)
  }
}

/**
 * The number of entries whose rows are in memory at once. Each row may have `HEADS_MAX` heads with all they have seen.
 */
const ENTRIES_AT_ONCE = 32

/** Returns the root of a record's content, or undefined if the content has no blocks. */
export function cidOf({ root }: Pick<EntryRecord, 'root'>): BlockCid | undefined {
  if (root === null) return undefined
  const named = rootOf(root)
  return 'cid' in named ? named.cid : undefined
}

/** Returns true if a record claims its root, or has been released. */
async function hasClaim(index: IndexDb, { id, root }: { id: Uint8Array; root: BlockCid }): Promise<boolean> {
  return (await index.has(Blocks.referenceKey({ id, root }))) || Blocks.isReleased(index, id)
}

/** Writes the claim on a record's blocks. A record has it whether it counts or not. */
function writeClaim(sink: IndexSink, record: EntryRecord, isSettled: CatalogProjectionOptions['isSettled']): void {
  const root = cidOf(record)
  if (root === undefined) return
  const { id, stamp } = record
  const ref = { id, root, replicas: decodeReplicas(record.replicas), author: peerIdOf(stamp.author) }
  for (const op of Blocks.referenceOps(ref, isSettled?.(ref)))
    if (op.type === 'put') sink.put(op.key, op.value)
    else sink.del(op.key)
}

/**
 * Returns true if the record that places an entry has arrived again. Its body may not have been readable before, because
 * the row of the statement was damaged, or because the key of its epoch was not here.
 */
function isPlacedBy(row: EntryRow | undefined, records: readonly NewRecord[]): boolean {
  if (row === undefined || row.state.heads.length === 0) return false
  return placingRecords(row.state).some(({ id }) => records.some(({ record }) => equalBytes(record.id, id)))
}

/** Returns false for the second occurrence of a record in a sorted list. */
function isFirst({ record }: NewRecord, i: number, all: readonly NewRecord[]): boolean {
  const before = all[i - 1]
  return before === undefined || !equalBytes(before.record.id, record.id)
}
