import { crc32 } from 'node:zlib'
import type { AbstractLevel } from 'abstract-level'
import { Batcher } from '../util/batcher.ts'
import { concatBytes, u32be, utf8 } from '../util/bytes.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { BATCH_BYTES_MAX, BATCH_ITEMS_MAX, CHAIN_LINKS_MAX } from './constants.ts'
import { DiskError, IndexCorruptError, LockedError, NoSpaceError, ReadOnlyError } from './errors.ts'
import { TABLES } from './tables.ts'

/** An ordered key-value database of bytes, as a port: any database behind `abstract-level`, such as `classic-level`. */
export type Database = AbstractLevel<string | Buffer | Uint8Array, Uint8Array, Uint8Array> & {
  /**
   * Writes the contents of the memory to tables durably, before it compacts anything. In a database without this
   * function, a `sync` must also cover everything that was written before it.
   */
  compactRange?(from: Uint8Array, to: Uint8Array): Promise<void>
}

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

/** A change to the index. All changes of a batch are applied, or none. */
export type IndexOp = { type: 'put'; key: Uint8Array; value: Uint8Array } | { type: 'del'; key: Uint8Array }

const CHECKSUM_BYTES = 4

/**
 * The index: a database of facts that can all be derived again from the segments and the blocks. It is kept for speed
 * and never trusted blindly. Each value carries a checksum over key and value, because LevelDB returns flipped bits
 * without an error. A mismatch throws an `IndexCorruptError` and calls `onCorrupt`, so that the owner of the index
 * rebuilds it.
 *
 * Rows are written without a sync unless the caller asks for one. After a power cut, the index may be in an older
 * state, and the cursor in it shows how old that state is. LevelDB alone does not promise that much. When it reads its
 * log, it skips a gap and continues after it. And `sync` covers only the log that is being written: LevelDB closes the
 * previous log without a sync, and may not have written its table yet. So a batch may be lost although later batches
 * are there: a caller that wrote A before B may find only B. Therefore batches are written one after another, and each
 * adds a link to a chain, from which `open` sees whether a batch is missing.
 */
export class IndexDb {
  readonly #db: Database
  readonly #batches = new Batcher<Waiting, null>(batches => this.#write(batches), {
    itemsMax: BATCH_ITEMS_MAX,
    bytesMax: BATCH_BYTES_MAX,
    sizeOf: ({ bytes }) => bytes
  })
  readonly #log: Logger
  #chain = 0
  /** The number of the next link in this chain. */
  #link = 0
  #onCorrupt: (error: IndexCorruptError) => void = () => {}

  constructor(db: Database, logger: ComponentLogger) {
    this.#db = db
    this.#log = logger.forComponent('dfs:disk:index')
  }

  /** Called at each sign that the index is damaged or incomplete and has to be rebuilt. */
  set onCorrupt(listener: (error: IndexCorruptError) => void) {
    this.#onCorrupt = listener
  }

  /** Throws an `IndexCorruptError`, and closes the database again, if the index is damaged or lacks a batch. */
  async open(): Promise<void> {
    await this.#guarded(() => this.#db.open({ passive: false }))
    try {
      await this.#checkChain()
    } catch (error) {
      this.#log('could not open the index: %s', reasonOf(error))
      await this.#db.close()
      throw error
    }
    this.#log('opened the index')
  }

  async close(): Promise<void> {
    await this.#batches.settled()
    await this.#db.close()
  }

  // A small number of rows is read synchronously. They are nearly always in memory, and a hop to another thread and
  // back takes ten times as long as reading them.
  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#getSync(key)
  }

  /** Returns the values of several keys, in their order; undefined for a key that is not there. */
  async getMany(keys: Uint8Array[]): Promise<Array<Uint8Array | undefined>> {
    if (keys.length === 0) return []
    if (keys.length <= SYNC_ROWS_MAX) return keys.map(key => this.#getSync(key))
    const values = await this.#guarded(() => this.#db.getMany(keys))
    return values.map((value, i) => (value === undefined ? undefined : this.#checked(keys[i] as Uint8Array, value)))
  }

  async has(key: Uint8Array): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }

  /**
   * Applies all changes or none, after all earlier batches. Without `sync`, a power cut may undo the batch. In that
   * case either all later batches are undone too, or `open` refuses the index. Throws the errors of the disk.
   */
  async batch(ops: readonly IndexOp[], { sync = false }: BatchOptions = {}): Promise<void> {
    if (ops.length === 0) return
    const rows = ops.map(withChecksum)
    const bytes = rows.reduce((sum, op) => sum + op.key.byteLength + (op.type === 'del' ? 0 : op.value.byteLength), 0)
    await this.#batches.add({ ops: rows, bytes, sync })
  }

  /**
   * Yields the rows whose key starts with `prefix`, in order: only those after the key `after` if it is given, and at
   * most `limit`. It yields the rows that exist when the iteration starts. Later changes do not appear.
   */
  async *range(
    prefix: Uint8Array,
    options: { after?: Uint8Array | undefined; limit?: number | undefined } = {}
  ): AsyncGenerator<{ key: Uint8Array; value: Uint8Array }> {
    const { after, limit = -1 } = options
    const iterator = this.#db.iterator({
      ...(after === undefined ? { gte: prefix } : { gt: after }),
      lt: pastPrefix(prefix),
      limit
    })
    try {
      for (;;) {
        const rows = await this.#guarded(() => iterator.nextv(ROWS_AT_ONCE))
        if (rows.length === 0) return
        for (const [key, value] of rows) yield { key, value: this.#checked(key, value) }
      }
    } finally {
      await iterator.close()
    }
  }

  /** Returns true if at least one key starts with `prefix`. */
  async hasAny(prefix: Uint8Array): Promise<boolean> {
    for await (const _ of this.range(prefix, { limit: 1 })) return true
    return false
  }

  /**
   * Tells the owner of the index that it has to be rebuilt, for example because it lacks a row. Returns the error to
   * throw.
   */
  reportCorrupt(message: string): IndexCorruptError {
    const error = new IndexCorruptError(message)
    this.#log('%s', message)
    this.#onCorrupt(error)
    return error
  }

  async #write(batches: readonly Waiting[]): Promise<null[]> {
    if (this.#link === CHAIN_LINKS_MAX) await this.#beginChain()
    const rows = [...batches.flatMap(({ ops }) => ops), this.#linkOp(this.#link)]
    await this.#put(
      rows,
      batches.some(({ sync }) => sync)
    )
    this.#link++
    return batches.map(() => null)
  }

  // `sync` is an option of the databases that write to a disk. The abstract type does not have it.
  async #put(rows: IndexOp[], sync: boolean): Promise<void> {
    await this.#guarded(() => this.#db.batch(rows, { sync } as object))
  }

  // Everything before a chain is durable when the chain begins, so the links of the previous chain are no longer
  // needed. `compactRange` does not report failures. In this order of steps, they do not matter. If LevelDB cannot
  // begin another log, all earlier logs are in tables and this one has been synced. If it cannot write a table, it
  // refuses all batches from then on.
  async #beginChain(): Promise<void> {
    await this.#put([this.#linkOp(this.#link - 1)], true)
    await this.#guarded(async () => this.#db.compactRange?.(PAST_ALL, PAST_ALL))
    this.#chain++
    this.#link = 0
  }

  #linkOp(link: number): IndexOp {
    return withChecksum({ type: 'put', key: indexKey(TABLES.meta, LINK, u32be(link)), value: u32be(this.#chain) })
  }

  // Links of older chains have higher numbers than those of the last one. Everything that LevelDB found when it was
  // opened is in tables, so a new chain may begin.
  async #checkChain(): Promise<void> {
    const chainOf: number[] = []
    const prefix = indexKey(TABLES.meta, LINK)
    for await (const { key, value } of this.range(prefix)) {
      chainOf[Buffer.from(key).readUInt32BE(prefix.byteLength)] = Buffer.from(value).readUInt32BE()
    }
    const last = chainOf.reduce((a, b) => Math.max(a, b), -1)
    for (let link = chainOf.lastIndexOf(last); link >= 0; link--)
      if (chainOf[link] !== last) throw new IndexCorruptError('the index lacks a batch of changes')
    this.#chain = last + 1
  }

  #checked(key: Uint8Array, value: Uint8Array): Uint8Array {
    if (value.byteLength >= CHECKSUM_BYTES) {
      const stated = new DataView(value.buffer, value.byteOffset, CHECKSUM_BYTES).getUint32(0)
      const payload = value.subarray(CHECKSUM_BYTES)
      if (stated === checksum(key, payload)) return payload
    }
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

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.#translated(error)
    }
  }

  #translated(error: unknown): unknown {
    const { code, cause } = error as { code?: string; cause?: { code?: string; message?: string } }
    const text = `${code} ${cause?.code} ${cause?.message} ${(error as Error).message}`
    if (text.includes('CORRUPTION') || text.includes('Corruption')) return this.reportCorrupt('the index is damaged')
    // A damaged file of LevelDB may name other files that do not exist. The missing file cannot be the directory
    // itself, because LevelDB creates it.
    if (text.includes('No such file or directory')) return this.reportCorrupt('a file of the index is missing')
    if (text.includes('LEVEL_LOCKED'))
      return new LockedError('another process is using this data directory: stop it, or give another --data-dir')
    if (/No space left|quota exceeded/.test(text))
      return new NoSpaceError('the disk is full: free some space on it', { cause: error })
    if (/Read-only file system|Permission denied|not permitted/.test(text))
      return new ReadOnlyError('cannot write the index: check the owner and the permissions of the data directory', {
        cause: error
      })
    if (text.includes('LEVEL_IO_ERROR') || text.includes('IO error'))
      return new DiskError('cannot read or write the index: the system log may say what the disk reported', {
        cause: error
      })
    return error
  }
}

const ROWS_AT_ONCE = 256
const LINK = utf8('link')
/** Greater than every key, because a key begins with the letter of its table. */
const PAST_ALL = Uint8Array.of(0xff)
/**
 * The most rows that are read synchronously. Larger reads run on another thread, so that they do not block the event
 * loop.
 */
const SYNC_ROWS_MAX = 32

/** Returns a key: one letter that names the table, then its parts. */
export function indexKey(table: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(Buffer.from(table, 'latin1'), ...parts)
}

function withChecksum(op: IndexOp): IndexOp {
  return op.type === 'del' ? op : { ...op, value: concatBytes(u32be(checksum(op.key, op.value)), op.value) }
}

function checksum(key: Uint8Array, value: Uint8Array): number {
  return crc32(value, crc32(key))
}

// Returns the least key above all that start with the prefix. Table letters are far below 0xff, so there always is one.
function pastPrefix(prefix: Uint8Array): Uint8Array {
  const end = Buffer.from(prefix)
  for (let i = end.byteLength - 1; i >= 0; i--) {
    const byte = end[i] as number
    if (byte < 0xff) {
      end[i] = byte + 1
      return end.subarray(0, i + 1)
    }
  }
  return Buffer.from([0xff])
}
