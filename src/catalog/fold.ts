import { References } from '../blocks/references.ts'
import type { IndexDb, IndexOp } from '../disk/index-db.ts'
import type { BlockCid } from '../format/cid.ts'
import { type EntryBody, type EntryRecord, ROOT_ENTRY, readRecord, rootOf } from '../format/entry.ts'
import type { Kind } from '../format/kinds.ts'
import { nameFault } from '../format/path.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import { idOf, type Statement } from '../format/statement.ts'
import type { Fold, Log, Standing } from '../log/log.ts'
import { equalBytes, toHex, u64be } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import type { Bodies } from './bodies.ts'
import { decodeEntryRow, type EntryRow, encodeEntryRow } from './entry-row.ts'
import { addRecord, type EntryState, emptyState, isOrigin, mayCarry, showEntry, stampKey } from './heads.ts'
import {
  cycleKey,
  directoryKey,
  encodeDirectoryValue,
  entryKey,
  recordIdOf,
  recordKey,
  recordsPrefix,
  waitingKey
} from './keys.ts'
import { damagedName, type Names } from './names.ts'
import { Reach } from './reach.ts'

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

/**
 * Keeps the tree in the index while records come: for each entry the state of its records, and the row under which its
 * parent shows it. A record that was folded already changes nothing, so a replay is harmless.
 */
export class CatalogFold implements Fold {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['entry'])
  readonly #options: CatalogFoldOptions
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
    this.#hasDeleted = await this.#options.index.hasAny(directoryKey('x', new Uint8Array(0)))
  }

  check(statement: Statement, author: Uint8Array): void {
    this.#read(statement, author)
  }

  async project(items: readonly Standing[]): Promise<IndexOp[]> {
    const fresh = await this.#fresh(items as ReadonlyArray<Standing<'entry'>>)
    const byEntry = Map.groupBy(fresh, ({ record }) => toHex(record.entry))
    const entries = [...byEntry.values()].map(group => (group[0] as Fresh).record.entry)
    const before = await this.#rows(entries)
    const after = new Map<string, EntryRow>()
    const ops: IndexOp[] = []
    const values = new Map<string, Uint8Array>()
    for (const [i, [key, group]] of [...byEntry].entries()) {
      const state = await this.#fold(before[i]?.state, group)
      for (const { record } of group) ops.push(...recordOps(record))
      const { row, value } = await this.#place(entries[i] as Uint8Array, state, group)
      after.set(key, row)
      values.set(key, value)
    }
    const reach = new Reach(this.#options.index, after)
    for (const [i, [key, row]] of [...after].entries()) {
      const entry = entries[i] as Uint8Array
      const old = before[i]
      await this.#adopt(entry, row, old, reach, ops)
      const kept = new Set(row.keys.map(toHex))
      for (const stale of old?.keys ?? []) if (!kept.has(toHex(stale))) ops.push({ type: 'del', key: stale })
      ops.push({ type: 'put', key: entryKey(entry), value: encodeEntryRow(row) })
      const shown = row.keys[0]
      if (shown !== undefined) ops.push({ type: 'put', key: shown, value: values.get(key) as Uint8Array })
      this.#fileDelta += countOf(row) - countOf(old)
    }
    return ops
  }

  applied(items: readonly Standing[]): void {
    this.#options.onRecords(
      (items as ReadonlyArray<Standing<'entry'>>).map(({ statement, author }) => this.#read(statement, author))
    )
  }

  async isIndexed({ statement, author }: Standing): Promise<boolean> {
    const { index } = this.#options
    const record = this.#read(statement, author)
    if (!(await index.has(recordKey(record)))) return false
    const [row] = await this.#rows([record.entry])
    return row !== undefined && (row.keys[0] === undefined || (await index.has(row.keys[0])))
  }

  #read(statement: Statement, author: Uint8Array): EntryRecord {
    return readRecord(statement as Statement<'entry'>, author, this.#options.nodeCodecs)
  }

  /** The state rows of entries. */
  async #rows(entries: readonly Uint8Array[]): Promise<Array<EntryRow | undefined>> {
    const values = await this.#options.index.getMany(entries.map(entryKey))
    return values.map(value => (value === undefined ? undefined : decodeEntryRow(value)))
  }

  /** Those that have not been folded yet, in the order of their stamps: what is carried comes after what was written. */
  async #fresh(items: ReadonlyArray<Standing<'entry'>>): Promise<Fresh[]> {
    const all = items.map(({ statement, author }) => ({ statement, record: this.#read(statement, author) }))
    const known = await this.#options.index.getMany(all.map(({ record }) => recordKey(record)))
    return all.filter((_, i) => known[i] === undefined).sort((a, b) => compareStamps(a.record.stamp, b.record.stamp))
  }

  async #fold(before: EntryState | undefined, group: readonly Fresh[]): Promise<EntryState> {
    const state = before ?? emptyState()
    for (const [i, fresh] of group.entries()) {
      const { record } = fresh
      const last = group[i - 1]
      const isContested =
        (last !== undefined && compareStamps(last.record.stamp, record.stamp) === 0) ||
        (before !== undefined && (await this.#recordAt(record.entry, record.stamp)) !== undefined)
      const isProof = isOrigin(record) && state.unproven.has(stampKey(record.stamp))
      // Two records under one stamp, or the origin of what was carried before it came: what was folded may not count.
      if (isContested || isProof) return this.#refold(record.entry, group)
      await this.#add(state, fresh, group.slice(0, i))
    }
    return state
  }

  async #add(state: EntryState, { record, statement }: Fresh, earlier: readonly Fresh[]): Promise<void> {
    if (!isOrigin(record)) {
      const origin =
        earlier.find(other => compareStamps(other.record.stamp, record.written) === 0)?.record ??
        (await this.#recordAt(record.entry, record.written))
      if (origin === undefined) state.unproven.set(stampKey(record.written), record.written)
      else if (!mayCarry(record, origin, await this.#isByAdmin(statement))) return
    }
    addRecord(state, record)
  }

  /** From scratch, over all records of the entry. Of two under one stamp the one with the smaller id counts. */
  async #refold(entry: Uint8Array, group: readonly Fresh[]): Promise<EntryState> {
    const all = new Map(group.map(fresh => [idOf(fresh.statement), fresh]))
    for await (const { key } of this.#options.index.range(recordsPrefix(entry))) {
      const standing = await this.#options.log.get(recordIdOf(key))
      if (standing?.statement.kind !== 'entry') continue
      const statement = standing.statement as Statement<'entry'>
      all.set(idOf(statement), { statement, record: this.#read(statement, standing.author) })
    }
    const ordered = [...all.values()].sort(
      (a, b) => compareStamps(a.record.stamp, b.record.stamp) || Buffer.compare(a.record.id, b.record.id)
    )
    const state = emptyState()
    const counted: Fresh[] = []
    for (const fresh of ordered) {
      const last = counted.at(-1)
      if (last !== undefined && compareStamps(last.record.stamp, fresh.record.stamp) === 0) continue
      await this.#add(state, fresh, counted)
      counted.push(fresh)
    }
    return state
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
      keys: [],
      isDamaged: false
    }
    // A deleted file has no place; a deleted directory keeps its own for what may still be below it.
    if (isDeleted && body?.kind !== 'directory') return { row, value: new Uint8Array(0) }
    const name = shownName(body, entry)
    row.parent = body?.parent ?? ROOT_ENTRY
    row.isDamaged = name !== body?.name
    if (isDeleted) this.#hasDeleted = true
    row.keys = [directoryKey(isDeleted ? 'x' : 'd', row.parent, names.hash(name), entry)]
    return { row, value: encodeDirectoryValue(row.kind, row.isDamaged, place.placed) }
  }

  /** Notes what keeps an entry from being reached: a parent that is not known, or that is below the entry itself. */
  async #adopt(
    entry: Uint8Array,
    row: EntryRow,
    old: EntryRow | undefined,
    reach: Reach,
    ops: IndexOp[]
  ): Promise<void> {
    if (row.kind === 'directory') {
      ops.push(...(await reach.endOfWait(entry)))
      const isNew = old === undefined || !equalBytes(old.parent, row.parent)
      if (isNew) {
        const cycle = await reach.cycleOf(entry)
        for (const member of cycle) ops.push({ type: 'put', key: cycleKey(member), value: new Uint8Array(0) })
        if (cycle.length === 0 && old !== undefined) ops.push({ type: 'del', key: cycleKey(entry) })
      }
    }
    if (row.keys.length === 0 || (await reach.isDirectory(row.parent))) return
    const key = waitingKey(row.parent, entry)
    row.keys.push(key)
    const since = old?.keys.some(before => equalBytes(before, key)) === true
    if (!since) ops.push({ type: 'put', key, value: u64be(Math.floor(this.#options.clock.now())) })
  }
}

/** The root of a record's content, if it has blocks at all. */
export function cidOf({ root }: Pick<EntryRecord, 'root'>): BlockCid | undefined {
  if (root === null) return undefined
  const named = rootOf(root)
  return 'cid' in named ? named.cid : undefined
}

function recordOps(record: EntryRecord): IndexOp[] {
  const ops: IndexOp[] = [{ type: 'put', key: recordKey(record), value: new Uint8Array(0) }]
  const root = cidOf(record)
  if (root !== undefined) ops.push(...References.opsFor({ id: record.id, root, replicas: record.replicas }))
  return ops
}

/** The name under which an entry shows: its own, if it can be read and may be part of a path. */
export function shownName(body: EntryBody | undefined, entry: Uint8Array): string {
  return body === undefined || nameFault(body.name) !== undefined ? damagedName(entry) : body.name
}

function countOf(row: EntryRow | undefined): number {
  return row !== undefined && row.kind === 'file' && !row.isDeleted ? 1 : 0
}
