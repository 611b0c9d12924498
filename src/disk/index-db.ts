import { Batcher } from '../util/batcher.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { CheckedDatabase } from './checked-database.ts'
import { BATCH_BYTES_MAX, BATCH_ITEMS_MAX } from './constants.ts'
import type { Database } from './database.ts'
import { IndexCorruptError } from './errors.ts'
import { IndexChain, LINKS } from './index-chain.ts'
import type { RangeOptions } from './index-range.ts'
import { bytesOf, type IndexOp, withChecksum } from './index-rows.ts'
import { TABLES } from './tables.ts'

export type { Database } from './database.ts'
export { type IndexOp, indexKey } from './index-rows.ts'

export interface BatchOptions {
  /** Resolve only once a power cut would leave either this batch and all before it, or an index that `open` refuses. */
  sync?: boolean
}

/** A batch that waits for the batches before it. */
interface Waiting {
  ops: readonly IndexOp[]
  bytes: number
  sync: boolean
}

/** The state of the index. A `failed` index can only be read. While it is `reopening`, reads wait. */
export type IndexState = 'open' | 'failed' | 'reopening'

/** Writes a batch while all others are refused. */
export type WriteBatch = (ops: readonly IndexOp[]) => Promise<void>

/**
 * The index: a database of facts that can all be derived again from the segments and the blocks. It is kept for speed
 * and never trusted blindly. Each value carries a checksum over key and value, because LevelDB returns flipped bits
 * without an error. A mismatch throws an `IndexCorruptError` and calls `onCorrupt`, so that the owner of the index
 * rebuilds it. `CheckedDatabase` reads the rows and checks them. This class orders the batches.
 *
 * Rows are written without a sync unless the caller asks for one. After a power cut, the index may be in an older
 * state, and the cursor in it shows how old that state is. LevelDB alone does not promise that much. When it reads its
 * log, it skips a gap and continues after it. And `sync` covers only the log that is being written: LevelDB closes the
 * previous log without a sync, and may not have written its table yet. So a batch may be lost although later batches
 * are there: a caller that wrote A before B may find only B. Therefore batches are written one after another, and each
 * adds a link to a chain, from which `open` sees whether a batch is missing.
 *
 * After a batch has failed, LevelDB cannot be trusted to write: it may refuse all later batches for ever, or write them
 * behind a torn one, where its next start does not find them. So the index is then `failed`: it refuses all batches at
 * once with the error of the first, and can still be read. `reopen` closes and opens the database.
 */
export class IndexDb {
  readonly #db: CheckedDatabase
  readonly #batches = new Batcher<Waiting, null>(batches => this.#write(batches), {
    itemsMax: BATCH_ITEMS_MAX,
    bytesMax: BATCH_BYTES_MAX,
    sizeOf: ({ bytes }) => bytes
  })
  readonly #log: Logger
  readonly #chain = new IndexChain()
  #state: IndexState = 'open'
  /** The reason why the index could not be written. */
  #failure: unknown
  #deletedRows = 0
  #onFailed: () => void = () => {}

  constructor(db: Database, logger: ComponentLogger) {
    this.#log = logger.forComponent('dfs:disk:index')
    const failure = (): unknown => (this.#state === 'failed' ? this.#failure : undefined)
    this.#db = new CheckedDatabase({ db, log: this.#log, failure })
  }

  /** Called at each sign that the index is damaged or incomplete and has to be rebuilt. */
  set onCorrupt(listener: (error: IndexCorruptError) => void) {
    this.#db.onCorrupt = listener
  }

  /** Called when a batch has failed, and all later ones are refused. */
  set onFailed(listener: () => void) {
    this.#onFailed = listener
  }

  get state(): IndexState {
    return this.#state
  }

  /** The error with which batches are refused; undefined while the index is open. */
  get failure(): unknown {
    return this.#state === 'open' ? undefined : this.#failure
  }

  /**
   * The number of rows that were deleted since the last `compact`, and of those that are known to have been replaced. They
   * still take room on the disk.
   */
  get deletedRows(): number {
    return this.#deletedRows
  }

  /** Counts rows that were written again with another value. Not every writer knows that it replaces a row. */
  countReplaced(rows: number): void {
    this.#deletedRows += rows
  }

  /** Throws the error with which a batch would be refused now. */
  assertWritable(): void {
    if (this.#state !== 'open') throw this.#failure
  }

  /** Throws an `IndexCorruptError`, and closes the database again, if the index is damaged or lacks a batch. */
  async open(): Promise<void> {
    await this.#db.open(() => this.#chain.check(this.range(LINKS)))
    this.#log('opened the index')
  }

  async close(): Promise<void> {
    await this.#batches.settled()
    await this.#db.close()
  }

  /**
   * Closes and opens the database after a failed batch, and then calls `check`, which may read the index, and write to
   * it with the function that it is given. All other batches are refused until `check` has resolved, and reads wait
   * while the database is closed. After an error the index is `failed` again, and may be reopened again. If the
   * database could not be opened, reads fail too until then. Throws an `IndexCorruptError` if a batch is missing that
   * had been written. The failed batch itself may be there.
   */
  async reopen(check: (write: WriteBatch) => Promise<void>): Promise<void> {
    if (this.#state !== 'failed') return
    this.#state = 'reopening'
    try {
      await this.#batches.settled()
      await this.#db.reopen()
      await this.#checkChain()
      await check(ops => this.#writeNow(ops.map(withChecksum), true))
      this.#state = 'open'
      this.#log('reopened the index')
    } catch (error) {
      this.#state = 'failed'
      this.#failure = error
      throw error
    }
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#db.get(key)
  }

  /** Returns the values of several keys, in their order; undefined for a key that is not there. */
  getMany(keys: Uint8Array[]): Promise<Array<Uint8Array | undefined>> {
    return this.#db.getMany(keys)
  }

  async has(key: Uint8Array): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }

  /**
   * Applies all changes or none, after all earlier batches. Without `sync`, a power cut may undo the batch. In that
   * case either all later batches are undone too, or `open` refuses the index. Throws the errors of the disk. The
   * changes of a failed batch are not visible, but may become visible after a restart or a `reopen`. If the index is
   * not open, the batch is refused at once.
   */
  async batch(ops: readonly IndexOp[], { sync = false }: BatchOptions = {}): Promise<void> {
    if (ops.length === 0) return
    this.assertWritable()
    const rows = ops.map(withChecksum)
    await this.#batches.add({ ops: rows, bytes: bytesOf(rows), sync })
  }

  /**
   * Yields the rows whose key starts with `prefix`, in order: only those after the key `after` if it is given, and at
   * most `limit`. With `reverse`, the order is from the last to the first, and `after` means before. It yields the rows
   * that exist when the iteration starts. Later changes do not appear. If the database is opened again meanwhile, the
   * iteration goes on from the last key, with the rows that exist then. Each row that existed throughout is yielded
   * once, and changes made meanwhile may appear in part.
   */
  range(prefix: Uint8Array, options: RangeOptions = {}): AsyncGenerator<{ key: Uint8Array; value: Uint8Array }> {
    return this.#db.range(prefix, options)
  }

  /** Returns true if at least one key starts with `prefix`. */
  async hasAny(prefix: Uint8Array): Promise<boolean> {
    for await (const _ of this.range(prefix, { limit: 1 })) return true
    return false
  }

  /**
   * Frees the room that deleted and overwritten rows take on the disk. LevelDB does so by itself only where it writes,
   * and may keep what was deleted for ever. Reads and batches go on meanwhile.
   */
  async compact(signal?: AbortSignal): Promise<void> {
    this.#deletedRows = 0
    // One table at a time, so that an abort comes soon.
    for (const table of Object.values(TABLES)) {
      signal?.throwIfAborted()
      await this.#db.compact(table)
    }
  }

  /**
   * Tells the owner of the index that it has to be rebuilt, for example because it lacks a row. Returns the error to
   * throw.
   */
  reportCorrupt(message: string): IndexCorruptError {
    return this.#db.reportCorrupt(message)
  }

  async #write(batches: readonly Waiting[]): Promise<null[]> {
    this.assertWritable()
    try {
      await this.#writeNow(
        batches.flatMap(({ ops }) => ops),
        batches.some(({ sync }) => sync)
      )
    } catch (error) {
      this.#fail(error)
      throw error
    }
    return batches.map(() => null)
  }

  async #writeNow(ops: readonly IndexOp[], sync: boolean): Promise<void> {
    if (this.#chain.isFull) await this.#beginChain()
    await this.#db.batch([...ops, withChecksum(this.#chain.nextOp())], sync)
    this.#chain.added()
    for (const { type } of ops) if (type === 'del') this.#deletedRows++
  }

  #fail(error: unknown): void {
    this.#state = 'failed'
    this.#failure = error
    this.#log('the index could not be written, and is only read from now on: %s', reasonOf(error))
    this.#onFailed()
  }

  async #checkChain(): Promise<void> {
    try {
      await this.#chain.check(this.range(LINKS))
    } catch (error) {
      throw error instanceof IndexCorruptError ? this.reportCorrupt(error.message) : error
    }
  }

  // Everything before a chain is durable when the chain begins, so the links of the previous chain are no longer
  // needed. `flush` does not report failures, but with this order of steps they do not matter. If LevelDB cannot begin
  // another log, all earlier logs are in tables and this one has been synced. If it cannot write a table, it refuses
  // all batches from then on.
  async #beginChain(): Promise<void> {
    await this.#db.batch([withChecksum(this.#chain.lastOp())], true)
    await this.#db.flush()
    this.#chain.begin()
  }
}
