import { crc32 } from 'node:zlib'
import type { AbstractLevel } from 'abstract-level'
import { Batcher } from '../util/batcher.ts'
import { concatBytes, u32be, utf8 } from '../util/bytes.ts'
import { BATCH_BYTES_MAX, BATCH_ITEMS_MAX, CHAIN_LINKS_MAX } from './constants.ts'
import { DiskError, IndexCorruptError, LockedError, NoSpaceError, ReadOnlyError } from './errors.ts'
import { TABLES } from './tables.ts'

/** An ordered key-value database of bytes, as a port: anything behind `abstract-level`, such as `classic-level`. */
export type Database = AbstractLevel<string | Buffer | Uint8Array, Uint8Array, Uint8Array> & {
  /**
   * Writes what is in memory to tables first, durably. One that has no such thing keeps its promise of `sync` for all
   * that was written before.
   */
  compactRange?(from: Uint8Array, to: Uint8Array): Promise<void>
}

export interface BatchOptions {
  /** Resolve only once a power cut leaves this batch and all before it, or an index that `open` refuses. */
  sync?: boolean
}

/** A batch that waits for those before it. */
interface Waiting {
  ops: readonly IndexOp[]
  bytes: number
  sync: boolean
}

/** A change to the index; all of a batch are applied, or none. */
export type IndexOp = { type: 'put'; key: Uint8Array; value: Uint8Array } | { type: 'del'; key: Uint8Array }

const CHECKSUM_BYTES = 4

/**
 * Everything that can be found again from the segments and the blocks: kept for speed, never trusted blindly. Each
 * value carries a checksum over key and value, since LevelDB hands out flipped bits without a word; a mismatch is an
 * `IndexCorruptError` and raises `onDoubt`, after which whoever owns the index rebuilds it.
 *
 * Rows are written without a sync unless asked: after a power cut the index is an older one, and the cursor in it says
 * how old. LevelDB alone does not promise that: its log is read on past a gap, and `sync` covers the log that is written
 * now, while of the one before, which it closes without a sync, there may be no table yet. So batches may be gone though
 * later ones are there, and who wrote A before B may find B alone. Hence batches go one after another, and each adds a
 * link to a chain, by which `open` knows that none is missing.
 */
export class IndexDb {
  readonly #db: Database
  readonly #batches = new Batcher<Waiting, null>(batches => this.#write(batches), {
    itemsMax: BATCH_ITEMS_MAX,
    bytesMax: BATCH_BYTES_MAX,
    sizeOf: ({ bytes }) => bytes
  })
  #chain = 0
  /** The next link of this chain. */
  #link = 0
  #onDoubt: (error: IndexCorruptError) => void = () => {}

  constructor(db: Database) {
    this.#db = db
  }

  set onDoubt(listener: (error: IndexCorruptError) => void) {
    this.#onDoubt = listener
  }

  /** An `IndexCorruptError` if the index is damaged, or batches are missing in it; then it is closed again. */
  async open(): Promise<void> {
    await this.#guarded(() => this.#db.open({ passive: false }))
    try {
      await this.#checkChain()
    } catch (error) {
      await this.#db.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#batches.settled()
    await this.#db.close()
  }

  // Synchronous where few rows are wanted: what is asked for is nearly always in memory, and a hop to another thread and
  // back takes ten times as long as the look.
  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#getSync(key)
  }

  async getMany(keys: Uint8Array[]): Promise<Array<Uint8Array | undefined>> {
    if (keys.length === 0) return []
    if (keys.length <= SYNC_ROWS_MAX) return keys.map(key => this.#getSync(key))
    const values = await this.#guarded(() => this.#db.getMany(keys))
    return values.map((value, i) => (value === undefined ? undefined : this.#checked(keys[i] as Uint8Array, value)))
  }

  async has(key: Uint8Array): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }

  async batch(ops: readonly IndexOp[], { sync = false }: BatchOptions = {}): Promise<void> {
    if (ops.length === 0) return
    const rows = ops.map(withChecksum)
    const bytes = rows.reduce((sum, op) => sum + op.key.byteLength + (op.type === 'del' ? 0 : op.value.byteLength), 0)
    await this.#batches.add({ ops: rows, bytes, sync })
  }

  /** All rows whose key starts with `prefix`, in order; from `after` on (exclusive) where given. */
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

  /** True if at least one key starts with `prefix`. */
  async hasAny(prefix: Uint8Array): Promise<boolean> {
    for await (const _ of this.range(prefix, { limit: 1 })) return true
    return false
  }

  /** Raises doubt from outside: a row that should be there is not. */
  doubt(message: string): IndexCorruptError {
    const error = new IndexCorruptError(message)
    this.#onDoubt(error)
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

  // `sync` is an option of the databases that have a disk; the abstract one does not know it.
  async #put(rows: IndexOp[], sync: boolean): Promise<void> {
    await this.#guarded(() => this.#db.batch(rows, { sync } as object))
  }

  // What stands before a chain is durable when it begins, so that the links of the one before are needed no more.
  // `compactRange` says nothing of failures. In this order none matters: if LevelDB cannot begin another log, those
  // before are in tables, and this one has been synced; if it cannot write a table, it refuses all batches from there on.
  async #beginChain(): Promise<void> {
    await this.#put([this.#linkOp(this.#link - 1)], true)
    await this.#guarded(async () => this.#db.compactRange?.(PAST_ALL, PAST_ALL))
    this.#chain++
    this.#link = 0
  }

  #linkOp(link: number): IndexOp {
    return withChecksum({ type: 'put', key: indexKey(TABLES.meta, LINK, u32be(link)), value: u32be(this.#chain) })
  }

  // Links of older chains lie behind those of the last one. What was there when LevelDB opened is in tables: a new chain.
  async #checkChain(): Promise<void> {
    const chainOf: number[] = []
    const prefix = indexKey(TABLES.meta, LINK)
    for await (const { key, value } of this.range(prefix)) {
      chainOf[Buffer.from(key).readUInt32BE(prefix.byteLength)] = Buffer.from(value).readUInt32BE()
    }
    const last = chainOf.reduce((a, b) => Math.max(a, b), -1)
    for (let link = chainOf.lastIndexOf(last); link >= 0; link--)
      if (chainOf[link] !== last) throw new IndexCorruptError('the index lacks a batch')
    this.#chain = last + 1
  }

  #checked(key: Uint8Array, value: Uint8Array): Uint8Array {
    if (value.byteLength >= CHECKSUM_BYTES) {
      const stated = new DataView(value.buffer, value.byteOffset, CHECKSUM_BYTES).getUint32(0)
      const payload = value.subarray(CHECKSUM_BYTES)
      if (stated === checksum(key, payload)) return payload
    }
    throw this.doubt('a row of the index does not match its checksum')
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
    if (text.includes('CORRUPTION') || text.includes('Corruption')) return this.doubt('the index is damaged')
    if (text.includes('LEVEL_LOCKED')) return new LockedError('another process is using this data directory')
    if (/No space left|quota exceeded/.test(text)) return new NoSpaceError('the disk is full', { cause: error })
    if (/Read-only file system|Permission denied|not permitted/.test(text))
      return new ReadOnlyError('the data directory cannot be written', { cause: error })
    if (text.includes('LEVEL_IO_ERROR') || text.includes('IO error'))
      return new DiskError('the index could not be written', { cause: error })
    return error
  }
}

const ROWS_AT_ONCE = 256
const LINK = utf8('link')
/** No key of ours is above it: tables are letters. */
const PAST_ALL = Uint8Array.of(0xff)
/** More than these are looked up on another thread: the loop must not stand still. */
const SYNC_ROWS_MAX = 32

/** A key: one letter that names the table, then its parts. */
export function indexKey(table: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(Buffer.from(table, 'latin1'), ...parts)
}

function withChecksum(op: IndexOp): IndexOp {
  return op.type === 'del' ? op : { ...op, value: concatBytes(u32be(checksum(op.key, op.value)), op.value) }
}

function checksum(key: Uint8Array, value: Uint8Array): number {
  return crc32(value, crc32(key))
}

// The least key above all that start with the prefix; table letters are far below 0xff, so there always is one.
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
