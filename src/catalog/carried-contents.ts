import type { IndexDb } from '../disk/index-db.ts'
import type { IndexSink } from '../disk/index-sink.ts'
import { decodeOwn, encodeCanonical } from '../format/canonical.ts'
import type { EntryRecord } from '../format/entry.ts'
import { FormatError } from '../format/errors.ts'
import type { Stamp } from '../format/stamp.ts'
import { equalBytes, NO_BYTES, toHex } from '../util/bytes.ts'
import { WAITING_SEEN_MAX } from './constants.ts'
import { type EntryState, isOrigin, stampKey } from './heads.ts'
import type { NewRecord } from './record-reader.ts'
import { decodeHead, encodeHead, type HeadFields } from './rows/head-codec.ts'
import { carriedKey, recordsKey, waitingRecordKey, waitingRecordsOf } from './rows/keys.ts'
import { contentOf, contentTag, decodeRecordRow } from './rows/record-rows.ts'

/** A record that counts, or that is a twin of one that counts. */
export type Admitted = Pick<NewRecord, 'record' | 'arrivedAtMs'>

type WaitingFields = [head: HeadFields, arrivedAtMs: number]

/**
 * Decides which records of an entry may carry the content that they name. A record that keeps an old `written` counts
 * once some record with this `written`, by the author of that stamp or by an admin, has the same root and epoch. Until
 * then it waits, as if it had not arrived. Otherwise any writer could put another root in the place of old content.
 *
 * Once a content may be carried, it always may be, so the order in which records arrive does not matter.
 */
export class CarriedContents {
  readonly #index: IndexDb
  readonly #entry: Uint8Array

  constructor(index: IndexDb, entry: Uint8Array) {
    this.#index = index
    this.#entry = entry
  }

  /**
   * Returns the new records that count or are twins of records that count, and the records that waited for one of them.
   * All other new records wait from now on. Throws a `FormatError` if too many records of the entry would wait.
   */
  async admit(state: EntryState, added: readonly NewRecord[], sink: IndexSink): Promise<Admitted[]> {
    const admitted: Admitted[] = added.filter(isEntitled)
    const shown = admitted.map(({ record }) => record).filter(({ op }) => op === 'put')
    for (const record of shown)
      if (!isOrigin(record)) sink.put(carriedKey(this.#entry, record.written, tagOf(record)), NO_BYTES)
    if (admitted.length < added.length) {
      const contents = new Set(shown.map(contentKey))
      for (const item of added) {
        if (isEntitled(item)) continue
        if (await this.#mayCarry(item.record, contents)) admitted.push(item)
        else this.#wait(state, item, sink)
      }
    }
    if (state.waiting > 0) await this.#release(state, shown, { admitted, sink })
    return admitted
  }

  async #mayCarry(record: EntryRecord, shown: ReadonlySet<string>): Promise<boolean> {
    if (shown.has(contentKey(record))) return true
    const content = contentOf(record)
    const value = await this.#index.get(recordsKey(this.#entry, record.written))
    const row = value === undefined ? undefined : decodeRecordRow(value)
    if (row?.content !== undefined && equalBytes(row.content, content)) return true
    const tag = contentTag(content)
    if (row?.tag !== undefined && equalBytes(row.tag, tag)) return true
    return this.#index.has(carriedKey(this.#entry, record.written, tag))
  }

  #wait(state: EntryState, { record, arrivedAtMs }: Admitted, sink: IndexSink): void {
    state.waiting += weightOf(record)
    if (state.waiting > WAITING_SEEN_MAX)
      throw new FormatError('too many records of one entry carry content that no record has shown')
    const fields: WaitingFields = [encodeHead(record), arrivedAtMs]
    sink.put(keyOfWaiting(record), encodeCanonical(fields))
  }

  /** Adds the records that waited for one of these to `admitted`. */
  async #release(
    state: EntryState,
    shown: readonly EntryRecord[],
    { admitted, sink }: { admitted: Admitted[]; sink: IndexSink }
  ): Promise<void> {
    const distinct = new Map(shown.map(record => [contentKey(record), record]))
    for (const { written, ...rest } of distinct.values())
      for await (const { key, value } of this.#index.range(waitingRecordKey(this.#entry, written, tagOf(rest)))) {
        const [head, arrivedAtMs] = decodeOwn(value) as WaitingFields
        const record = decodeHead(this.#entry, head)
        state.waiting -= weightOf(record)
        sink.del(key)
        admitted.push({ record, arrivedAtMs })
      }
  }
}

/** Returns the records that wait for somebody to show the content of a `written`. */
export async function waitingFor(
  index: Pick<IndexDb, 'range'>,
  entry: Uint8Array,
  written: Stamp
): Promise<Admitted[]> {
  const waiting: Admitted[] = []
  for await (const { value } of index.range(waitingRecordsOf(entry, written))) {
    const [head, arrivedAtMs] = decodeOwn(value) as WaitingFields
    waiting.push({ record: decodeHead(entry, head), arrivedAtMs })
  }
  return waiting
}

/** Returns the key under which a record waits if it may not carry its content yet. */
export function keyOfWaiting(record: EntryRecord): Uint8Array {
  return waitingRecordKey(record.entry, record.written, tagOf(record), record.id)
}

/**
 * Returns true if a record counts without the help of another: a delete carries no content, and the author of a
 * content, like any admin, may itself state which root the content has.
 */
export function isEntitled({ record: { op, stamp, written }, role }: Pick<NewRecord, 'record' | 'role'>): boolean {
  return op === 'delete' || role === 'admin' || equalBytes(stamp.author, written.author)
}

/** Returns the weight of a waiting record, which is about the number of rows that the index changes to admit it. */
function weightOf({ seen }: EntryRecord): number {
  return 1 + seen.length
}

function tagOf(record: Pick<EntryRecord, 'root' | 'rootEpoch'>): Uint8Array {
  return contentTag(contentOf(record))
}

function contentKey(record: EntryRecord): string {
  return stampKey(record.written) + toHex(contentOf(record))
}
