import type { IndexDb, IndexOp } from '../disk/index-db.ts'
import type { EntryRecord } from '../format/entry.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import type { Log } from '../log/log.ts'
import { compareBytes, shortHex } from '../util/bytes.ts'
import type { Logger } from '../util/logger.ts'
import { addRecord, type EntryState, emptyState, isOrigin, mayCarry, stampKey, stateOf } from './heads.ts'
import type { RecordReader } from './record-reader.ts'
import { missingOriginKey, recordIdOf, recordsPrefix, seenRowKey } from './rows/keys.ts'
import { loadPast, pastOps } from './rows/past-rows.ts'

export interface EntryStatesOptions {
  index: IndexDb
  statements: Pick<Log, 'get'>
  reader: RecordReader
  log: Logger
}

/** A record that the index does not have, and the statement that it was read from. */
export interface NewRecord {
  record: EntryRecord
  statement: Statement<'entry'>
}

/** The state of an entry, and changes to rows that belong to it other than the entry's own row. */
export interface NewState {
  state: EntryState
  ops: IndexOp[]
}

/**
 * Adds records to the states of entries, and decides which records count. The other records of an entry are read only
 * if a new one changes whether an older one counts.
 */
export class EntryStates {
  readonly #options: EntryStatesOptions

  constructor(options: EntryStatesOptions) {
    this.#options = options
  }

  /**
   * Adds records to the state of one entry. The records must be in the order of `byStampAndId`. If several records have
   * the same stamp, only the one with the smallest id counts.
   */
  async add(entry: Uint8Array, before: EntryState | undefined, added: readonly NewRecord[]): Promise<NewState> {
    const { index } = this.#options
    const state = before ?? emptyState()
    const records = added.map(({ record }) => record)
    if (before !== undefined) await loadPast(index, entry, state, records)
    const ops: IndexOp[] = []
    const byStamp = new Map<string, EntryRecord>()
    for (const item of added) {
      const { record } = item
      const key = stampKey(record.stamp)
      if (byStamp.has(key)) continue
      const rival = before === undefined ? undefined : await this.#recordAt(entry, record.stamp)
      if (rival !== undefined && compareBytes(rival.id, record.id) < 0) continue
      byStamp.set(key, record)
      // Either the record replaces one that was counted, or an earlier record carries its content and may no longer
      // count.
      const isOfEarlier = before !== undefined && (await index.has(missingOriginKey(entry, record.stamp)))
      if (rival !== undefined || isOfEarlier) return this.#recompute(entry, added)
      if ((await this.#counts(item, byStamp, ops)) && !addRecord(state, record)) return this.#recompute(entry, added)
    }
    return { state, ops: [...ops, ...pastOps(entry, state)] }
  }

  /** Computes the state of an entry from all of its records. Time and memory grow with their number. */
  async #recompute(entry: Uint8Array, added: readonly NewRecord[]): Promise<NewState> {
    const { index, log } = this.#options
    const all = [...added, ...(await this.#indexed(entry))].sort(byStampAndId)
    log('computing the state of entry %s from all of its %d records', shortHex(entry), all.length)
    const ops: IndexOp[] = []
    for (const prefix of [seenRowKey(entry), missingOriginKey(entry)])
      for await (const { key } of index.range(prefix)) ops.push({ type: 'del', key })
    const byStamp = new Map<string, EntryRecord>()
    const counted: EntryRecord[] = []
    for (const item of all) {
      const key = stampKey(item.record.stamp)
      if (byStamp.has(key)) continue
      byStamp.set(key, item.record)
      if (await this.#counts(item, byStamp, ops)) counted.push(item.record)
    }
    const state = stateOf(counted)
    return { state, ops: [...ops, ...pastOps(entry, state)] }
  }

  /** Returns all records that the index has for an entry. */
  async #indexed(entry: Uint8Array): Promise<NewRecord[]> {
    const { index, statements, reader } = this.#options
    const records: NewRecord[] = []
    for await (const { key } of index.range(recordsPrefix(entry))) {
      const accepted = await statements.get(recordIdOf(key))
      if (accepted?.statement.kind !== 'entry') continue
      const statement = accepted.statement as Statement<'entry'>
      records.push({ statement, record: reader.read(statement, accepted.author) })
    }
    return records
  }

  /**
   * Returns false for a record that carries content which it must not carry. If the record that wrote this content has
   * not arrived, the carrying record counts until then, and a row of `missingOrigins` notes this.
   */
  async #counts(
    { record, statement }: NewRecord,
    earlier: ReadonlyMap<string, EntryRecord>,
    ops: IndexOp[]
  ): Promise<boolean> {
    const { entry, written } = record
    if (isOrigin(record)) return true
    const origin = earlier.get(stampKey(written)) ?? (await this.#recordAt(entry, written))
    if (origin !== undefined) return mayCarry(record, origin, await this.#isByAdmin(statement))
    ops.push({ type: 'put', key: missingOriginKey(entry, written), value: new Uint8Array(0) })
    return true
  }

  /** Returns the record with a stamp. If there are several, returns the one with the smallest id. */
  async #recordAt(entry: Uint8Array, stamp: Stamp): Promise<EntryRecord | undefined> {
    const { index, statements, reader } = this.#options
    for await (const { key } of index.range(recordsPrefix(entry, stamp), { limit: 1 })) {
      const accepted = await statements.get(recordIdOf(key))
      if (accepted !== undefined) return reader.read(accepted.statement as Statement<'entry'>, accepted.author)
    }
    return undefined
  }

  async #isByAdmin({ grant }: Statement): Promise<boolean> {
    const accepted = grant === null ? undefined : await this.#options.statements.get(grant)
    return accepted?.statement.kind === 'grant' && (accepted.statement as Statement<'grant'>).fields.role === 'admin'
  }
}

/**
 * The order in which records are added. A record that carries content comes after the record that wrote the content.
 */
export function byStampAndId(a: NewRecord, b: NewRecord): number {
  return compareStamps(a.record.stamp, b.record.stamp) || compareBytes(a.record.id, b.record.id)
}
