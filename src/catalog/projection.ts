import { Blocks } from '../blocks/blocks.ts'
import type { IndexDb, IndexOp } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import type { BlockCid } from '../format/cid.ts'
import { type EntryBody, type EntryRecord, ROOT_ENTRY, readRecord, rootOf } from '../format/entry.ts'
import type { Kind } from '../format/kinds.ts'
import { nameFault } from '../format/path.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import type { AcceptedStatement, Log, Projection } from '../log/log.ts'
import { compareBytes, equalBytes, toHex, u64be } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import type { Bodies } from './bodies.ts'
import { decodeEntryRow, type EntryRow, encodeEntryRow } from './entry-row.ts'
import {
  addRecord,
  type EntryState,
  emptyState,
  foldRecords,
  isOrigin,
  mayCarry,
  showEntry,
  stampKey
} from './heads.ts'
import {
  cycleKey,
  directoryKey,
  encodeDirectoryValue,
  entryKey,
  questionKey,
  recordIdOf,
  recordKey,
  recordsPrefix,
  seenRowKey,
  waitingKey
} from './keys.ts'
import { DirectoryChanges, hasName } from './name-rows.ts'
import { damagedName, type Names } from './names.ts'
import { loadPast, pastOps } from './past-rows.ts'
import { Reachability } from './reachability.ts'

export interface CatalogFoldOptions {
  index: IndexDb
  log: Pick<Log, 'get'>
  bodies: Bodies
  names: Names
  clock: Clock
  /** Codecs that manifest nodes may have. */
  nodeCodecs: readonly number[]
  depthOf: (epoch: Uint8Array) => number
  /** Told of records that have come to stand. */
  onRecords: (records: readonly EntryRecord[]) => void
}

/** A record of the batch at hand, with the statement that it was read from. */
interface Fresh {
  record: EntryRecord
  statement: Statement<'entry'>
}

/** What an entry's records add up to, and the rows that say so beside the entry's own. */
interface Folded {
  state: EntryState
  ops: IndexOp[]
}

/**
 * Keeps the tree in the index while records come: for each entry the state of its records, and the row under which its
 * parent shows it. A record that was folded already changes nothing, so a replay is harmless.
 */
export class CatalogProjection implements Projection {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['entry'])
  readonly #options: CatalogFoldOptions
  // What is judged, folded and told of is the same statement each time.
  readonly #records = new WeakMap<Statement, EntryRecord>()
  #fileDelta = 0
  #hasDeleted = true

  constructor(options: CatalogFoldOptions) {
    this.#options = options
  }

  /** Files that came into being, less those that went, since this process began. */
  get fileDelta(): number {
    return this.#fileDelta
  }

  /** False while no directory has ever been deleted. Known once `look` was called. */
  get hasDeleted(): boolean {
    return this.#hasDeleted
  }

  /** Looks at what the index holds. After it has been brought up to date. */
  async look(): Promise<void> {
    this.#hasDeleted = await this.#options.index.hasAny(directoryKey(TABLES.deletedDirectories, new Uint8Array(0)))
  }

  check(statement: Statement, author: Uint8Array): void {
    this.#read(statement, author)
  }

  async project(items: readonly AcceptedStatement[]): Promise<IndexOp[]> {
    const fresh = await this.#fresh(items as ReadonlyArray<AcceptedStatement<'entry'>>)
    const byEntry = Map.groupBy(fresh, ({ record }) => toHex(record.entry))
    const entries = [...byEntry.values()].map(group => (group[0] as Fresh).record.entry)
    const before = await this.#rows(entries)
    const after = new Map<string, EntryRow>()
    const ops: IndexOp[] = []
    const values = new Map<string, Uint8Array>()
    for (const [i, [key, group]] of [...byEntry].entries()) {
      const entry = entries[i] as Uint8Array
      const folded = await this.#fold(entry, before[i]?.state, group)
      ops.push(...folded.ops)
      for (const { record } of group) ops.push(...recordOps(record))
      const { row, value } = await this.#place(entry, folded.state, group)
      after.set(key, row)
      values.set(key, value)
    }
    const reach = new Reachability(this.#options.index, after)
    const shown = new DirectoryChanges(this.#options.index)
    for (const [i, [key, row]] of [...after].entries()) {
      const entry = entries[i] as Uint8Array
      const old = before[i]
      ops.push(...(await this.#adopt(entry, row, old, reach)))
      // Where it is the same row, what is said last holds.
      if (old?.key !== undefined) shown.set(old.key, undefined)
      if (row.key !== undefined) shown.set(row.key, values.get(key) as Uint8Array)
      ops.push({ type: 'put', key: entryKey(entry), value: encodeEntryRow(row) })
      this.#fileDelta += countOf(row) - countOf(old)
    }
    ops.push(...(await shown.ops()))
    return ops
  }

  applied(items: readonly AcceptedStatement[]): void {
    this.#options.onRecords(
      (items as ReadonlyArray<AcceptedStatement<'entry'>>).map(({ statement, author }) => this.#read(statement, author))
    )
  }

  async isIndexed({ statement, author }: AcceptedStatement): Promise<boolean> {
    const { index } = this.#options
    const record = this.#read(statement, author)
    if (!(await index.has(recordKey(record)))) return false
    const [row] = await this.#rows([record.entry])
    if (row?.key === undefined) return row !== undefined
    return (await index.has(row.key)) && (await hasName(index, row.key))
  }

  #read(statement: Statement, author: Uint8Array): EntryRecord {
    const known = this.#records.get(statement)
    if (known !== undefined) return known
    const record = readRecord(statement as Statement<'entry'>, author, this.#options.nodeCodecs)
    this.#records.set(statement, record)
    return record
  }

  /** The state rows of entries. */
  async #rows(entries: readonly Uint8Array[]): Promise<Array<EntryRow | undefined>> {
    const values = await this.#options.index.getMany(entries.map(entryKey))
    return values.map(value => (value === undefined ? undefined : decodeEntryRow(value)))
  }

  /** Those that have not been folded yet, in the order in which they count: what is carried comes after what was written. */
  async #fresh(items: ReadonlyArray<AcceptedStatement<'entry'>>): Promise<Fresh[]> {
    const all = items.map(({ statement, author }) => ({ statement, record: this.#read(statement, author) }))
    const known = await this.#options.index.getMany(all.map(({ record }) => recordKey(record)))
    return all.filter((_, i) => known[i] === undefined).sort(byStampAndId)
  }

  /** Adds records to an entry's state. Of two under one stamp the one with the smaller id counts. */
  async #fold(entry: Uint8Array, before: EntryState | undefined, group: readonly Fresh[]): Promise<Folded> {
    const { index } = this.#options
    const state = before ?? emptyState()
    const records = group.map(({ record }) => record)
    if (before !== undefined) await loadPast(index, entry, state, records)
    const ops: IndexOp[] = []
    const byStamp = new Map<string, EntryRecord>()
    for (const fresh of group) {
      const { record } = fresh
      const key = stampKey(record.stamp)
      if (byStamp.has(key)) continue
      const rival = before === undefined ? undefined : await this.#recordAt(entry, record.stamp)
      if (rival !== undefined && compareBytes(rival.id, record.id) < 0) continue
      byStamp.set(key, record)
      // It takes the place of one that was counted, or what was folded carries it: that may not count any more.
      const isAwaited = before !== undefined && (await index.has(questionKey(entry, record.stamp)))
      if (rival !== undefined || isAwaited) return this.#refold(entry, group)
      if ((await this.#counts(fresh, byStamp, ops)) && !addRecord(state, record)) return this.#refold(entry, group)
    }
    return { state, ops: [...ops, ...pastOps(entry, state)] }
  }

  /** From scratch, over all records of the entry: time and memory grow with their number. */
  async #refold(entry: Uint8Array, group: readonly Fresh[]): Promise<Folded> {
    const { index, log } = this.#options
    const all = [...group]
    for await (const { key } of index.range(recordsPrefix(entry))) {
      const standing = await log.get(recordIdOf(key))
      if (standing?.statement.kind !== 'entry') continue
      const statement = standing.statement as Statement<'entry'>
      all.push({ statement, record: this.#read(statement, standing.author) })
    }
    const ops: IndexOp[] = []
    for (const prefix of [seenRowKey(entry), questionKey(entry)])
      for await (const { key } of index.range(prefix)) ops.push({ type: 'del', key })
    const byStamp = new Map<string, EntryRecord>()
    const counted: EntryRecord[] = []
    for (const fresh of all.sort(byStampAndId)) {
      const key = stampKey(fresh.record.stamp)
      if (byStamp.has(key)) continue
      byStamp.set(key, fresh.record)
      if (await this.#counts(fresh, byStamp, ops)) counted.push(fresh.record)
    }
    const state = foldRecords(counted)
    return { state, ops: [...ops, ...pastOps(entry, state)] }
  }

  /** False of a record that carries what it may not. What it carries is noted where that has not come: it decides then. */
  async #counts(
    { record, statement }: Fresh,
    earlier: ReadonlyMap<string, EntryRecord>,
    ops: IndexOp[]
  ): Promise<boolean> {
    const { entry, written } = record
    if (isOrigin(record)) return true
    const origin = earlier.get(stampKey(written)) ?? (await this.#recordAt(entry, written))
    if (origin !== undefined) return mayCarry(record, origin, await this.#isByAdmin(statement))
    ops.push({ type: 'put', key: questionKey(entry, written), value: new Uint8Array(0) })
    return true
  }

  async #recordAt(entry: Uint8Array, stamp: Stamp): Promise<EntryRecord | undefined> {
    for await (const { key } of this.#options.index.range(recordsPrefix(entry, stamp), { limit: 1 })) {
      const standing = await this.#options.log.get(recordIdOf(key))
      if (standing !== undefined) return this.#read(standing.statement as Statement<'entry'>, standing.author)
    }
    return undefined
  }

  async #isByAdmin({ grant }: Statement): Promise<boolean> {
    const standing = grant === null ? undefined : await this.#options.log.get(grant)
    return standing?.statement.kind === 'grant' && (standing.statement as Statement<'grant'>).fields.role === 'admin'
  }

  /** Where an entry stands, by the body of the record that placed it last. */
  async #place(
    entry: Uint8Array,
    state: EntryState,
    group: readonly Fresh[]
  ): Promise<{ row: EntryRow; value: Uint8Array }> {
    const { bodies, names, depthOf } = this.#options
    const { isDeleted, place } = showEntry(state, depthOf)
    const statement = group.find(({ record }) => equalBytes(record.id, place.id))?.statement
    const body = statement === undefined ? await bodies.open(place) : bodies.openStatement(statement)
    const row: EntryRow = {
      state,
      isDeleted,
      kind: body?.kind ?? 'file',
      parent: ROOT_ENTRY,
      key: undefined,
      isDamaged: false
    }
    // A deleted file has no place; a deleted directory keeps its own for what may still be below it.
    if (isDeleted && body?.kind !== 'directory') return { row, value: new Uint8Array(0) }
    const name = shownName(body, entry)
    row.parent = body?.parent ?? ROOT_ENTRY
    row.isDamaged = name !== body?.name
    if (isDeleted) this.#hasDeleted = true
    row.key = directoryKey(isDeleted ? TABLES.deletedDirectories : TABLES.children, row.parent, names.hash(name), entry)
    return { row, value: encodeDirectoryValue(row.kind, row.isDamaged, place.placed) }
  }

  /**
   * Notes what keeps entries from being reached: a parent that is no directory, whether it never was one or has ceased to
   * be, and a directory that is below itself.
   */
  async #adopt(entry: Uint8Array, row: EntryRow, old: EntryRow | undefined, reach: Reachability): Promise<IndexOp[]> {
    const ops: IndexOp[] = []
    const [is, was] = [row.kind === 'directory', old?.kind === 'directory']
    if (is && !was) ops.push({ type: 'del', key: waitingKey(entry) })
    if (was && !is && (await reach.hasChildren(entry))) ops.push(...(await this.#wait(entry)))
    if (row.key !== undefined && !(await reach.isDirectory(row.parent))) ops.push(...(await this.#wait(row.parent)))
    if (is !== was || old === undefined || !equalBytes(old.parent, row.parent)) {
      const cycle = await reach.cycleOf(entry)
      for (const member of cycle) ops.push({ type: 'put', key: cycleKey(member), value: new Uint8Array(0) })
      if (cycle.length === 0 && old !== undefined) ops.push({ type: 'del', key: cycleKey(entry) })
    }
    return ops
  }

  async #wait(parent: Uint8Array): Promise<IndexOp[]> {
    const { index, clock } = this.#options
    const key = waitingKey(parent)
    return (await index.has(key)) ? [] : [{ type: 'put', key, value: u64be(Math.floor(clock.now())) }]
  }
}

/** The root of a record's content, if it has blocks at all. */
export function cidOf({ root }: Pick<EntryRecord, 'root'>): BlockCid | undefined {
  if (root === null) return undefined
  const named = rootOf(root)
  return 'cid' in named ? named.cid : undefined
}

function byStampAndId(a: Fresh, b: Fresh): number {
  return compareStamps(a.record.stamp, b.record.stamp) || compareBytes(a.record.id, b.record.id)
}

function recordOps(record: EntryRecord): IndexOp[] {
  const ops: IndexOp[] = [{ type: 'put', key: recordKey(record), value: new Uint8Array(0) }]
  const root = cidOf(record)
  if (root !== undefined) ops.push(...Blocks.referenceOps({ id: record.id, root, replicas: record.replicas }))
  return ops
}

/** The name under which an entry shows: its own, if it can be read and may be part of a path. */
export function shownName(body: EntryBody | undefined, entry: Uint8Array): string {
  return body === undefined || nameFault(body.name) !== undefined ? damagedName(entry) : body.name
}

function countOf(row: EntryRow | undefined): number {
  return row !== undefined && row.kind === 'file' && !row.isDeleted ? 1 : 0
}
