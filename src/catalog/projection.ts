import { Blocks } from '../blocks/blocks.ts'
import type { IndexDb, IndexOp } from '../disk/index-db.ts'
import type { IndexSink } from '../disk/index-sink.ts'
import { TABLES } from '../disk/tables.ts'
import type { BlockCid } from '../format/cid.ts'
import { type EntryBody, type EntryRecord, ROOT_ENTRY, rootOf } from '../format/entry.ts'
import type { Kind } from '../format/kinds.ts'
import type { Statement } from '../format/statement.ts'
import type { Log } from '../log/log.ts'
import type { AcceptedStatement, Change, Projection } from '../log/projection.ts'
import { equalBytes, toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import type { Bodies } from './bodies.ts'
import { byStampAndId, EntryStates, type NewRecord } from './entry-states.ts'
import { type EntryState, showEntry } from './heads.ts'
import { type Names, shownName } from './names.ts'
import { Reachability } from './reachability.ts'
import { RecordReader } from './record-reader.ts'
import { decodeEntryRow, type EntryRow, encodeEntryRow } from './rows/entry-row.ts'
import { directoryKey, encodeDirectoryValue, entryKey, recordKey } from './rows/keys.ts'
import { DirectoryChanges, hasName } from './rows/name-rows.ts'
import { hasPast } from './rows/past-rows.ts'
import { reachabilityOps } from './rows/reachability-rows.ts'

export interface CatalogProjectionOptions {
  index: IndexDb
  log: Pick<Log, 'get'>
  bodies: Bodies
  names: Names
  clock: Clock
  logger: ComponentLogger
  /** The codecs that manifest nodes may have. */
  nodeCodecs: readonly number[]
  /** Returns the position of an epoch in the chain of epochs. */
  depthOf: (epoch: Uint8Array) => number
  /** Called with records that were just accepted. */
  onRecords: (records: readonly EntryRecord[]) => void
}

/** How a batch changes one entry. */
interface EntryUpdate {
  entry: Uint8Array
  /** The entry's row before the batch. */
  old: EntryRow | undefined
  row: EntryRow
  /** The value of the row that `row.key` names. */
  value: Uint8Array
}

/**
 * Updates the tree in the index as records arrive. Each entry has two parts there: the state of its records, and its
 * row in the parent's listing. A record that is already in the index changes nothing, so a replay is harmless.
 */
export class CatalogProjection implements Projection {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['entry'])
  readonly #options: CatalogProjectionOptions
  readonly #log: Logger
  readonly #reader: RecordReader
  readonly #states: EntryStates
  #fileDelta = 0
  #hasDeleted = true

  constructor(options: CatalogProjectionOptions) {
    const { index, log, logger, nodeCodecs } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:catalog:projection')
    this.#reader = new RecordReader(nodeCodecs)
    this.#states = new EntryStates({ index, statements: log, reader: this.#reader, log: this.#log })
  }

  /** The number of files that were created since this process started, minus the number that were deleted. */
  get fileDelta(): number {
    return this.#fileDelta
  }

  /** False if the index has no deleted directories. To be safe, it is true until `load` has run. */
  get hasDeleted(): boolean {
    return this.#hasDeleted
  }

  /** Looks in the index for deleted directories. Call it once the index is up to date. */
  async load(): Promise<void> {
    this.#hasDeleted = await this.#options.index.hasAny(directoryKey(TABLES.deletedDirectories, new Uint8Array(0)))
  }

  check(statement: Statement, author: Uint8Array): void {
    this.#reader.read(statement as Statement<'entry'>, author)
  }

  async project({ added: items }: Change, sink: IndexSink): Promise<void> {
    const { index, clock } = this.#options
    const added = await this.#newRecords(items as ReadonlyArray<AcceptedStatement<'entry'>>)
    const ops: IndexOp[] = []
    const updates = await this.#updates(added, ops)
    const after = new Map(updates.map(({ entry, row }) => [toHex(entry), row]))
    const context = { index, clock, reachability: new Reachability(index, after) }
    const changes = new DirectoryChanges(index)
    for (const { entry, old, row, value } of updates) {
      ops.push(...(await reachabilityOps(context, entry, row, old)))
      // If both keys are the same, the last call wins.
      if (old?.key !== undefined) changes.set(old.key, undefined)
      if (row.key !== undefined) changes.set(row.key, value)
      ops.push({ type: 'put', key: entryKey(entry), value: encodeEntryRow(row) })
      this.#fileDelta += countOf(row) - countOf(old)
    }
    ops.push(...(await changes.ops()))
    this.#log.trace('%d statements held %d new records of %d entries', items.length, added.length, updates.length)
    for (const op of ops) op.type === 'put' ? sink.put(op.key, op.value) : sink.del(op.key)
  }

  applied({ added }: Change): void {
    const entries = added as ReadonlyArray<AcceptedStatement<'entry'>>
    this.#options.onRecords(entries.map(({ statement, author }) => this.#reader.read(statement, author)))
  }

  async isIndexed({ statement, author }: AcceptedStatement): Promise<boolean> {
    const { index } = this.#options
    const record = this.#reader.read(statement as Statement<'entry'>, author)
    const root = cidOf(record)
    // The claim of a record on its root never ends. Its other claims follow from it: the walk of the record writes them.
    const claims = root === undefined ? [] : Blocks.referenceOps({ id: record.id, root, replicas: record.replicas })
    const rows = await index.getMany([recordKey(record), ...claims.slice(0, 1).map(({ key }) => key)])
    if (rows.includes(undefined)) return false
    const [row] = await this.#rows([record.entry])
    if (row === undefined || !(await hasPast(index, record, row.state))) return false
    if (row.key === undefined) return true
    return (await index.has(row.key)) && (await hasName(index, row.key))
  }

  /** Returns the records that the index does not have, in the order in which they are added to their entries. */
  async #newRecords(items: ReadonlyArray<AcceptedStatement<'entry'>>): Promise<NewRecord[]> {
    const all = items.map(({ statement, author }) => ({ statement, record: this.#reader.read(statement, author) }))
    const known = await this.#options.index.getMany(all.map(({ record }) => recordKey(record)))
    return all.filter((_, i) => known[i] === undefined).sort(byStampAndId)
  }

  /**
   * Adds records to their entries. Adds the resulting row changes to `ops`, except those to rows of entries and
   * directories.
   */
  async #updates(added: readonly NewRecord[], ops: IndexOp[]): Promise<EntryUpdate[]> {
    const groups = [...Map.groupBy(added, ({ record }) => toHex(record.entry)).values()]
    const entries = groups.map(group => (group[0] as NewRecord).record.entry)
    const before = await this.#rows(entries)
    const updates: EntryUpdate[] = []
    for (const [i, group] of groups.entries()) {
      const entry = entries[i] as Uint8Array
      const old = before[i]
      const { state, ops: stateOps } = await this.#states.add(entry, old?.state, group)
      ops.push(...stateOps, ...group.flatMap(({ record }) => recordOps(record)))
      updates.push({ entry, old, ...(await this.#place(entry, state, group)) })
    }
    return updates
  }

  /** Returns the rows of entries. */
  async #rows(entries: readonly Uint8Array[]): Promise<Array<EntryRow | undefined>> {
    const values = await this.#options.index.getMany(entries.map(entryKey))
    return values.map(value => (value === undefined ? undefined : decodeEntryRow(value)))
  }

  /**
   * Returns the row of an entry, and the value of its row in the directory where the record that counts for its place
   * puts it.
   */
  async #place(
    entry: Uint8Array,
    state: EntryState,
    added: readonly NewRecord[]
  ): Promise<Pick<EntryUpdate, 'row' | 'value'>> {
    const { names, depthOf } = this.#options
    const { isDeleted, place } = showEntry(state, depthOf)
    const body = await this.#bodyOf(place, added)
    const row: EntryRow = {
      state,
      isDeleted,
      kind: body?.kind ?? 'file',
      parent: ROOT_ENTRY,
      key: undefined,
      isDamaged: false
    }
    // A deleted file has no place. A deleted directory keeps its place, since live entries may be below it.
    if (isDeleted && body?.kind !== 'directory') return { row, value: new Uint8Array(0) }
    const name = shownName(body, entry)
    row.parent = body?.parent ?? ROOT_ENTRY
    row.isDamaged = name !== body?.name
    if (isDeleted) this.#hasDeleted = true
    row.key = directoryKey(isDeleted ? TABLES.deletedDirectories : TABLES.children, row.parent, names.hash(name), entry)
    return { row, value: encodeDirectoryValue(row.kind, row.isDamaged, place.placed) }
  }

  /**
   * Returns the body of a record. It looks in the batch first, because the log does not have the batch's records yet.
   */
  async #bodyOf({ id }: EntryRecord, added: readonly NewRecord[]): Promise<EntryBody | undefined> {
    const { bodies } = this.#options
    const statement = added.find(({ record }) => equalBytes(record.id, id))?.statement
    return statement === undefined ? bodies.open({ id }) : bodies.openStatement(statement)
  }
}

/** Returns the root of a record's content, or undefined if the content has no blocks. */
export function cidOf({ root }: Pick<EntryRecord, 'root'>): BlockCid | undefined {
  if (root === null) return undefined
  const named = rootOf(root)
  return 'cid' in named ? named.cid : undefined
}

/** Returns the changes that add the rows of one record, including the claim on its blocks. */
function recordOps(record: EntryRecord): IndexOp[] {
  const ops: IndexOp[] = [{ type: 'put', key: recordKey(record), value: new Uint8Array(0) }]
  const root = cidOf(record)
  if (root !== undefined) ops.push(...Blocks.referenceOps({ id: record.id, root, replicas: record.replicas }))
  return ops
}

function countOf(row: EntryRow | undefined): number {
  return row !== undefined && row.kind === 'file' && !row.isDeleted ? 1 : 0
}
