import { type Logger, reasonOf } from '../util/logger.ts'
import { SYNC_ROWS_MAX } from './constants.ts'
import type { Database } from './database.ts'
import { IndexCorruptError } from './errors.ts'
import { asIndexError, isNotOpen } from './index-errors.ts'
import { type RangeOptions, type RangeSource, rangeOf } from './index-range.ts'
import { checkedPayload, type IndexOp } from './index-rows.ts'
import { ReadGate } from './read-gate.ts'

export interface CheckedDatabaseOptions {
  db: Database
  log: Logger
  /** Returns the error with which reads fail if the database is not open; undefined if it was simply closed. */
  failure: () => unknown
}

/**
 * The database of the index. It returns only rows that match their checksums, and it throws our errors instead of those
 * of LevelDB. It reports each sign of damage. It can be closed and opened again while others read: reads wait
 * meanwhile, and ranges go on afterwards. It knows nothing of batches and their order, which `IndexDb` keeps.
 */
export class CheckedDatabase {
  readonly #db: Database
  readonly #log: Logger
  readonly #failure: () => unknown
  readonly #gate = new ReadGate()
  /** Counts how often the database was reopened. A reopening closes all earlier iterators. */
  #reopenings = 0
  readonly #source: RangeSource
  /** Called at each sign that the index is damaged or incomplete. */
  onCorrupt: (error: IndexCorruptError) => void = () => {}

  constructor({ db, log, failure }: CheckedDatabaseOptions) {
    this.#db = db
    this.#log = log
    this.#failure = failure
    this.#source = { db, read: work => this.#read(work), reopenings: () => this.#reopenings }
  }

  /** Opens the database, and closes it again if `check`, which may read it, throws. */
  async open(check: () => Promise<void>): Promise<void> {
    await this.#guarded(() => this.#db.open({ passive: false }))
    try {
      await check()
    } catch (error) {
      this.#log('could not open the index: %s', reasonOf(error))
      await this.#db.close()
      throw error
    }
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  /** Closes and opens the database. Reads wait meanwhile. */
  async reopen(): Promise<void> {
    await this.#gate.shutWhile(async () => {
      this.#reopenings++
      await this.#guarded(async () => {
        await this.#db.close()
        await this.#db.open({ passive: false })
      })
    })
  }

  // A small number of rows is read synchronously. They are nearly always in memory, and a hop to another thread and
  // back takes ten times as long as reading them.
  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    if (this.#gate.isShut) await this.#gate.opened()
    return this.#getSync(key)
  }

  async getMany(keys: Uint8Array[]): Promise<Array<Uint8Array | undefined>> {
    if (keys.length === 0) return []
    if (this.#gate.isShut) await this.#gate.opened()
    if (keys.length <= SYNC_ROWS_MAX) return keys.map(key => this.#getSync(key))
    const values = await this.#read(() => this.#db.getMany(keys))
    return values.map((value, i) => (value === undefined ? undefined : this.#checked(keys[i] as Uint8Array, value)))
  }

  /** Yields the rows whose key starts with `prefix`: see `IndexDb.range`. */
  async *range(prefix: Uint8Array, options: RangeOptions): AsyncGenerator<{ key: Uint8Array; value: Uint8Array }> {
    for await (const rows of rangeOf(this.#source, prefix, options))
      for (const [key, value] of rows) yield { key, value: this.#checked(key, value) }
  }

  /** Applies all changes or none. The values must have their checksums. */
  async batch(rows: IndexOp[], sync: boolean): Promise<void> {
    // `sync` is an option of the databases that write to a disk. The abstract type does not have it.
    await this.#guarded(() => this.#db.batch(rows, { sync } as object))
  }

  /** Ends the log of the database, and writes it to a table. Does not report a failure. */
  async flush(): Promise<void> {
    await this.#guarded(async () => this.#db.compactRange?.(PAST_ALL, PAST_ALL))
  }

  /** Frees the room that deleted and overwritten rows of a table take on the disk. */
  async compact(table: string): Promise<void> {
    const first = table.charCodeAt(0)
    await this.#read(async () => this.#db.compactRange?.(Uint8Array.of(first), Uint8Array.of(first + 1)))
  }

  /** Tells the owner of the index that it has to be rebuilt. Returns the error to throw. */
  reportCorrupt(message: string): IndexCorruptError {
    const error = new IndexCorruptError(message)
    this.#log('%s', message)
    this.onCorrupt(error)
    return error
  }

  #checked(key: Uint8Array, value: Uint8Array): Uint8Array {
    const payload = checkedPayload(key, value)
    if (payload !== undefined) return payload
    throw this.reportCorrupt('a row of the index does not match its checksum')
  }

  #getSync(key: Uint8Array): Uint8Array | undefined {
    let value: Uint8Array | undefined
    try {
      value = this.#db.getSync(key)
    } catch (error) {
      throw this.#translated(error)
    }
    return value === undefined ? undefined : this.#checked(key, value)
  }

  #read<T>(read: () => Promise<T>): Promise<T> {
    return this.#gate.run(() => this.#guarded(read))
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.#translated(error)
    }
  }

  #translated(error: unknown): unknown {
    const failure = isNotOpen(error) ? this.#failure() : undefined
    if (failure !== undefined) return failure
    const translated = asIndexError(error)
    return translated instanceof IndexCorruptError && translated !== error
      ? this.reportCorrupt(translated.message)
      : translated
  }
}

/** Greater than every key, because a key begins with the letter of its table. */
const PAST_ALL = Uint8Array.of(0xff)
