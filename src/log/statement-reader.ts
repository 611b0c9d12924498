import { RowCorruptError } from '../disk/errors.ts'
import type { Place } from '../disk/place.ts'
import type { Store } from '../disk/store.ts'
import { decodeEntry, MEMBERSHIP, REST, type StatementClass, statementIdOf, statementKey } from './keys.ts'
import type { LostStatements } from './lost.ts'
import type { LoggedStatement } from './projection.ts'
import { decodeStatementRow, ROW_FACTS_BYTES, statementBytesIn } from './statement-row.ts'

export interface StatementReaderOptions {
  store: Pick<Store, 'index' | 'read'>
  lost: Pick<LostStatements, 'has' | 'note'>
}

/** The place of a statement according to the index, and the key of its row in the index. */
interface Found {
  key: Uint8Array
  place: Place
}

/** Reads the statements that the log has. A statement whose row turns out to be damaged is noted as lost. */
export class StatementReader {
  readonly #options: StatementReaderOptions

  constructor(options: StatementReaderOptions) {
    this.#options = options
  }

  /** Returns, for each id, whether the log has its statement. */
  async has(ids: readonly Uint8Array[]): Promise<boolean[]> {
    return (await this.#find(ids)).map(found => found !== undefined)
  }

  /** Returns those of some statements that the log has and that can be read. */
  async get(ids: readonly Uint8Array[]): Promise<LoggedStatement[]> {
    const items: LoggedStatement[] = []
    for (const found of await this.#find(ids)) {
      const item = found === undefined ? undefined : await this.#readFound(found)
      if (item !== undefined) items.push(item)
    }
    return items
  }

  /**
   * Returns the bytes of statements, in the order of the ids, and undefined for those that the log does not have or
   * that cannot be read. Stops before the statement that would bring them above `bytesMax` bytes.
   */
  async bytesOf(ids: readonly Uint8Array[], bytesMax: number): Promise<Array<Uint8Array | undefined>> {
    const found = await this.#find(ids)
    let bytes = 0
    const end = found.findIndex(item => {
      bytes += item === undefined ? 1 : item.place.length - ROW_FACTS_BYTES
      return bytes > bytesMax
    })
    const some = end === -1 ? found : found.slice(0, end)
    return Promise.all(some.map(async item => (item === undefined ? undefined : this.#readBytes(item))))
  }

  async #readBytes(found: Found): Promise<Uint8Array | undefined> {
    const payload = await this.#orLost(found, this.#options.store.read(found.place))
    return payload === undefined ? undefined : statementBytesIn(payload)
  }

  /** Returns at most `limit` ids of a class, in ascending order, starting with the first id after `after`. */
  async list(statementClass: StatementClass, after: Uint8Array | undefined, limit: number): Promise<Uint8Array[]> {
    const ids: Uint8Array[] = []
    const from = after === undefined ? undefined : statementKey(statementClass, after)
    for await (const { key } of this.#options.store.index.range(statementKey(statementClass), { after: from, limit })) {
      ids.push(statementIdOf(key))
    }
    return ids
  }

  /** Yields the statements of a class whose ids are greater than `after`, in the order of the ids. */
  async *all(statementClass: StatementClass, after: Uint8Array): AsyncGenerator<LoggedStatement> {
    const from = statementKey(statementClass, after)
    for await (const { key, value } of this.#options.store.index.range(statementKey(statementClass), { after: from })) {
      const statement = await this.#readFound({ key, place: decodeEntry(value).place })
      if (statement !== undefined) yield statement
    }
  }

  /** Reads a statement that the index has. If its row is damaged, this notes it and returns undefined. */
  #readFound(found: Found): Promise<LoggedStatement | undefined> {
    return this.#orLost(found, this.#read(found.place))
  }

  async #orLost<T>({ key, place }: Found, reading: Promise<T>): Promise<T | undefined> {
    try {
      return await reading
    } catch (error) {
      if (!(error instanceof RowCorruptError)) throw error
      this.#options.lost.note(key, place)
      return undefined
    }
  }

  /** Reads the statement that is stored at a place, which comes from the index. Throws a `RowCorruptError`. */
  async #read(place: Place): Promise<LoggedStatement> {
    const { statement, id: _id, ...facts } = decodeStatementRow(await this.#options.store.read(place))
    if (statement instanceof Error) throw statement
    return { ...facts, statement, place }
  }

  /** Looks in the class of nearly all statements first, and in the other only for those that are not there. */
  async #find(ids: readonly Uint8Array[]): Promise<Array<Found | undefined>> {
    const rest = await this.#findIn(REST, ids)
    const others = ids.filter((_, i) => rest[i] === undefined)
    if (others.length === 0) return rest
    const membership = (await this.#findIn(MEMBERSHIP, others)).values()
    return rest.map(found => found ?? membership.next().value)
  }

  async #findIn(statementClass: StatementClass, ids: readonly Uint8Array[]): Promise<Array<Found | undefined>> {
    const keys = ids.map(id => statementKey(statementClass, id))
    const values = await this.#options.store.index.getMany(keys)
    return values.map((value, i) => {
      if (value === undefined || this.#options.lost.has(ids[i] as Uint8Array)) return undefined
      return { key: keys[i] as Uint8Array, place: decodeEntry(value).place }
    })
  }
}
