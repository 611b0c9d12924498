import { type IndexDb, indexKey } from '../disk/index-db.ts'
import type { IndexSink } from '../disk/index-sink.ts'
import { decodePlace, encodePlace, PLACE_BYTES, type Place } from '../disk/place.ts'
import { TABLES } from '../disk/tables.ts'
import { concatBytes, fromHex, toHex } from '../util/bytes.ts'
import { ASIDES_NAMED_MAX } from './constants.ts'

/** A statement that is durable but could not be projected. */
export interface Aside {
  /** SHA-256 of its bytes. */
  id: Uint8Array
  /** The Ed25519 public key of its author. */
  author: Uint8Array
  place: Place
}

/** A summary of the statements that were set aside. */
export interface AsidesReport {
  count: number
  /** Some of these statements, at most `ASIDES_NAMED_MAX`. */
  some: ReadonlyArray<Pick<Aside, 'id' | 'author'>>
}

/**
 * The statements that were set aside: they are kept and passed on, but they do not count, because this program cannot
 * project them. A later release may be able to, since it rebuilds the index.
 */
export class Asides {
  readonly #index: IndexDb
  readonly #ids = new Set<string>()
  readonly #some: Array<Pick<Aside, 'id' | 'author'>> = []

  constructor(index: IndexDb) {
    this.#index = index
  }

  get report(): AsidesReport {
    return { count: this.#ids.size, some: this.#some }
  }

  /** The ids of all these statements. */
  get ids(): Uint8Array[] {
    return [...this.#ids].map(fromHex)
  }

  has(id: Uint8Array): boolean {
    return this.#ids.size > 0 && this.#ids.has(toHex(id))
  }

  /** Reads the table. Call it once the index is up to date. */
  async load(): Promise<void> {
    const table = indexKey(TABLES.asides)
    for await (const { key, value } of this.#index.range(table))
      this.#note({ id: key.subarray(table.byteLength), author: value.subarray(PLACE_BYTES) })
  }

  /** Writes the row of a statement. Call `applied` once the index holds the batch. */
  static add(sink: IndexSink, { id, author, place }: Aside): void {
    sink.put(asideKey(id), concatBytes(encodePlace(place), author))
  }

  applied(aside: Aside): void {
    this.#note(aside)
  }

  /** Returns the place of the row of a statement that was set aside; undefined if it was not. */
  async placeOf(id: Uint8Array): Promise<Place | undefined> {
    const value = await this.#index.get(asideKey(id))
    return value === undefined ? undefined : decodePlace(value)
  }

  #note({ id, author }: Pick<Aside, 'id' | 'author'>): void {
    if (this.#ids.has(toHex(id))) return
    this.#ids.add(toHex(id))
    if (this.#some.length < ASIDES_NAMED_MAX) this.#some.push({ id: Buffer.from(id), author: Buffer.from(author) })
  }
}

function asideKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.asides, id)
}
