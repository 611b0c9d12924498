import { RowCorruptError } from '../disk/errors.ts'
import { type IndexDb, indexKey } from '../disk/index-db.ts'
import { IndexOps, type IndexSink } from '../disk/index-sink.ts'
import { type Cursor, encodePlace, isSamePlace, PLACE_BYTES, type Place } from '../disk/place.ts'
import type { Store } from '../disk/store.ts'
import { TABLES } from '../disk/tables.ts'
import { idOf, type SomeStatement } from '../format/statement.ts'
import { concatBytes, fromHex, NO_BYTES, shortHex, toHex, utf8 } from '../util/bytes.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { LOST_NOTED_MAX, SEARCHES_MAX } from './constants.ts'
import { classOfKey, decodeEntry, MEMBERSHIP, REST, statementIdOf, statementKey } from './keys.ts'
import type { Positions } from './positions.ts'

export interface LostStatementsOptions {
  store: { index: IndexDb } & Pick<Store, 'markDead' | 'read' | 'readUnchecked' | 'segments'>
  positions: Pick<Positions, 'removeFrom'>
  log: Logger
  /** Runs work while no batch of statements is under way. */
  alone: (work: () => Promise<void>) => Promise<void>
}

/**
 * The statements that this member has lost, because their rows are damaged. Such a statement counts as absent: its row
 * of the index is removed, so that it is accepted again like any other when another member sends it. The rows that
 * higher rooms derived from it stay. Its id is noted until it has arrived again, so that the other members are asked
 * for it.
 *
 * A status is only removed. Its author signs another one soon, and the others do not keep the old one.
 */
export class LostStatements {
  readonly #options: LostStatementsOptions
  /** The ids (hex), and whether each statement was covered. */
  readonly #ids = new Map<string, boolean>()
  /** Damaged stretches whose statements were looked for. */
  readonly #searched = new Set<string>()
  #work: Promise<void> = Promise.resolve()

  constructor(options: LostStatementsOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#ids.size
  }

  /** Reads the table. Call it once the index is up to date. */
  async load(): Promise<void> {
    const { index } = this.#options.store
    const table = indexKey(TABLES.lost)
    for await (const { key, value: note } of index.range(table)) {
      const id = key.subarray(table.byteLength)
      const values = await index.getMany([MEMBERSHIP, REST].map(statementClass => statementKey(statementClass, id)))
      // The statement arrived again just before a crash. The replay has indexed it, but does not know of this table.
      if (values.some(value => value !== undefined)) await index.batch([{ type: 'del', key }])
      else this.#ids.set(toHex(id), note.byteLength > PLACE_BYTES)
    }
  }

  has(id: Uint8Array): boolean {
    return this.#ids.size > 0 && this.#ids.has(toHex(id))
  }

  /** Returns true if a statement is lost, and a later one had covered it. */
  wasCovered(id: Uint8Array): boolean {
    return this.#ids.size > 0 && this.#ids.get(toHex(id)) === true
  }

  /** Returns the ids of at most `limit` lost statements. The next call begins with others, if there are any. */
  list(limit: number): Uint8Array[] {
    const ids = [...this.#ids.keys()].slice(0, limit)
    for (const id of ids) {
      const wasCovered = this.#ids.get(id) as boolean
      this.#ids.delete(id)
      this.#ids.set(id, wasCovered)
    }
    return ids.map(fromHex)
  }

  /** Notes that the row at a place, which the index has under this key, is damaged. The index follows a moment later. */
  note(key: Uint8Array, place: Place): void {
    const id = statementIdOf(key)
    if (this.has(id) || this.#ids.size >= LOST_NOTED_MAX) return
    this.#ids.set(toHex(id), false)
    this.#options.log.error('statement %s is damaged on this disk; the other members are asked for it', shortHex(id))
    this.#inTurn(() => this.#options.alone(() => this.#remove(key, id, place)))
  }

  /** Looks for the statements whose rows lie in a damaged stretch. Each stretch is searched once. */
  search({ segment, offset }: Cursor): void {
    const stretch = `${segment}:${offset}`
    if (this.#searched.has(stretch) || this.#searched.size >= SEARCHES_MAX) return
    this.#searched.add(stretch)
    this.#inTurn(() => this.#search(segment))
  }

  /** Resolves once everything that has been noted so far is in the index. */
  settled(): Promise<void> {
    return this.#work
  }

  /** Removes the notes about statements that have arrived again. Call `returned` once the index holds the batch. */
  returnIn(sink: IndexSink, statements: readonly SomeStatement[]): void {
    for (const { id } of statements) if (this.has(id)) sink.del(lostKey(id))
  }

  returned(statements: readonly SomeStatement[]): void {
    if (this.#ids.size > 0) for (const statement of statements) this.#ids.delete(idOf(statement))
  }

  async #remove(key: Uint8Array, id: Uint8Array, place: Place): Promise<void> {
    const { store, positions } = this.#options
    const value = await store.index.get(key)
    const entry = value === undefined ? undefined : decodeEntry(value)
    // It may have been replaced, or have arrived again, since it was read.
    if (entry === undefined || !isSamePlace(entry.place, place)) {
      this.#ids.delete(toHex(id))
      return
    }
    const isStatus = await seemsStatus(store, place)
    const ops = new IndexOps()
    ops.del(key)
    const { sequence, isCovered } = entry
    const isCounted = !isStatus && !isCovered
    await positions.removeFrom(ops, [{ class: classOfKey(key), id, sequence, isCounted }])
    ops.addAll(store.markDead([place]))
    if (!isStatus) ops.put(lostKey(id), encodeNote(place, isCovered))
    await store.index.batch(ops.all)
    if (isStatus) this.#ids.delete(toHex(id))
    else this.#ids.set(toHex(id), isCovered)
  }

  async #search(segment: number): Promise<void> {
    const { store } = this.#options
    // No statement is in a segment of large blocks.
    if (!store.segments.has(segment)) return
    const known = new Map<number, { key: Uint8Array; place: Place }>()
    for await (const { key, value } of store.index.range(indexKey(TABLES.statements))) {
      const { place } = decodeEntry(value)
      if (place.segment === segment) known.set(place.offset, { key, place })
    }
    for await (const { place } of store.segments.scanSegment(segment)) known.delete(place.offset)
    for (const { key, place } of known.values()) {
      await store.read(place).then(
        () => {},
        error => {
          if (!(error instanceof RowCorruptError)) throw error
          this.note(key, place)
        }
      )
    }
  }

  // The caller must not wait for this. It may be a projection that has just met the damage, and all other batches wait
  // for that projection.
  #inTurn(work: () => Promise<void>): void {
    this.#work = this.#work
      .then(work)
      .catch(error => this.#options.log('could not note statements that are damaged: %s', reasonOf(error)))
  }
}

/** Returns true if a damaged row is likely to have held a status. */
async function seemsStatus(store: Pick<Store, 'readUnchecked'>, place: Place): Promise<boolean> {
  return Buffer.from(await store.readUnchecked(place)).includes(STATUS)
}

/** Notes in the batch that a statement that was not accepted yet is lost, because its row at this place is damaged. */
export async function loseIn(
  sink: IndexSink,
  store: Pick<Store, 'readUnchecked'>,
  { id, place }: { id: Uint8Array; place: Place }
): Promise<void> {
  if (!(await seemsStatus(store, place))) sink.put(lostKey(id), encodeNote(place, false))
}

/** The kind of a status, as it is encoded. Whether a damaged row held a status can only be guessed. */
const STATUS = Buffer.concat([utf8('dkind'), Buffer.of(0x66), utf8('status')])

function encodeNote(place: Place, wasCovered: boolean): Uint8Array {
  return concatBytes(encodePlace(place), wasCovered ? Uint8Array.of(1) : NO_BYTES)
}

function lostKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.lost, id)
}
