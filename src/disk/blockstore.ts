import type { Blockstore, InputPair, Pair } from 'interface-blockstore'
import { NotFoundError } from 'interface-store'
import type { CID } from 'multiformats/cid'
import { cidOfMultihash } from '../format/cid.ts'
import { byteLengthOf, concatBytes, toHex } from '../util/bytes.ts'
import { InvalidInputError } from '../util/errors.ts'
import { KeyedLocks } from '../util/locks.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { blockRows, freedRows, freedValue, placeIn } from './block-rows.ts'
import type { Capacity } from './capacity.ts'
import { MULTIHASH_BYTES, ROW_BLOCK, ROW_FREED, ROW_LARGE_BLOCK, SMALL_BLOCK_BYTES_MAX } from './constants.ts'
import { indexKey } from './index-db.ts'
import type { Place } from './place.ts'
import { kindOf, LARGE_ROWS } from './segment-layout.ts'
import type { Store } from './store.ts'
import { TABLES } from './tables.ts'

interface AbortOptions {
  signal?: AbortSignal
}

type Source<T> = Iterable<T> | AsyncIterable<T>

/** A block and its bytes. */
export interface InputBlock {
  cid: CID
  bytes: Uint8Array
  /** True for a block without which nothing can be freed. It may take the last room: see `Capacity.take`. */
  mayTakeLast?: boolean | undefined
}

interface BlockToPut {
  multihash: Uint8Array
  parts: Uint8Array[]
  mayTakeLast?: boolean | undefined
}

/** The number of blocks that `putMany` and `deleteMany` process concurrently. */
const MANY_AT_ONCE = 16

/**
 * The durable store of sealed blocks, behind the same interface as every other adapter. `put` resolves when the block
 * would survive a power cut. `get` returns the block in one piece, exactly as it is on the disk. It may be damaged or
 * cut short, so the caller must verify its hash. Blocks are known by multihash, whatever the codec in the CID. Large
 * blocks are in segments of their own. Puts and deletes of the same block run one after another.
 */
export class DurableBlockstore implements Blockstore {
  /** By the time `put` resolves, it has copied the bytes. The bytes that `get` returns belong to the caller. */
  readonly isCopying = true
  readonly #store: Store
  readonly #capacity: Capacity
  readonly #log: Logger
  readonly #locks = new KeyedLocks()

  constructor(store: Store, capacity: Capacity, logger: ComponentLogger) {
    this.#store = store
    this.#capacity = capacity
    this.#log = logger.forComponent('dfs:disk:blocks')
    store.register(ROW_BLOCK, blockRows(store))
    store.register(ROW_LARGE_BLOCK, blockRows(store))
    store.register(ROW_FREED, freedRows(store))
  }

  /**
   * Stores a block and resolves once it would survive a power cut. If the block is already here with the same length,
   * nothing is written, even if it is damaged. A block of another length was cut short, and is written again. The bytes
   * are not checked against the CID. Throws a `NoSpaceError` if the block does not fit,
   * an `InvalidInputError` if its digest is not 32 bytes long, and the errors of the disk. After an error or a crash,
   * either the whole block is there or none of it.
   */
  async put(cid: CID, bytes: Uint8Array | Source<Uint8Array>, options: AbortOptions = {}): Promise<CID> {
    options.signal?.throwIfAborted()
    const multihash = multihashOf(cid)
    const parts = bytes instanceof Uint8Array ? [bytes] : await collect(bytes)
    await this.#locks.run(toHex(multihash), () => this.#put([{ multihash, parts }], options))
    return cid
  }

  /**
   * Puts blocks as `put` does, but together: small ones in one write, and large ones in another. After an error or a
   * crash, some of them may be there.
   */
  async putAll(blocks: readonly InputBlock[]): Promise<void> {
    const unique = new Map<string, BlockToPut>()
    for (const { cid, bytes, mayTakeLast } of blocks) {
      const multihash = multihashOf(cid)
      unique.set(toHex(multihash), { multihash, parts: [bytes], mayTakeLast })
    }
    await this.#locks.runAll(unique.keys(), () => this.#put([...unique.values()], {}))
  }

  /**
   * Like `put`, but writes the block even if one of the same length is here, which may be damaged. The old block stays
   * until the new one is durable, so an error or a crash leaves one of the two.
   */
  async replace(cid: CID, bytes: Uint8Array, { signal }: AbortOptions = {}): Promise<void> {
    signal?.throwIfAborted()
    const multihash = multihashOf(cid)
    await this.#locks.run(toHex(multihash), () =>
      this.#put([{ multihash, parts: [bytes] }], { signal, isForced: true })
    )
  }

  /**
   * Yields the bytes of a block in one piece and unchecked. Throws a `NotFoundError` of `interface-store` if the block
   * is not here, and the errors of the disk, so a block that cannot be read is never reported as missing.
   */
  async *get(cid: CID, options: AbortOptions = {}): AsyncGenerator<Uint8Array> {
    options.signal?.throwIfAborted()
    const bytes = await this.#store.reads.run(() => this.#read(multihashOf(cid)))
    options.signal?.throwIfAborted()
    yield bytes
  }

  async has(cid: CID, options: AbortOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted()
    return (await this.sizeOf(cid)) !== undefined
  }

  /**
   * Returns the size of a block in bytes once it would survive a power cut, or undefined if it is not here. The size of a
   * large block whose segment was cut short counts as 0.
   */
  async sizeOf(cid: CID): Promise<number | undefined> {
    const place = await this.#placeOf(multihashOf(cid))
    return place === undefined ? undefined : this.#sizeAt(place)
  }

  /**
   * Removes a block. A missing block is not an error. After a crash the block may reappear, and must then be deleted
   * again.
   */
  async delete(cid: CID, options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    const multihash = multihashOf(cid)
    await this.#locks.run(toHex(multihash), () => this.#delete(multihash))
  }

  async *putMany(source: Source<InputPair>, options: AbortOptions = {}): AsyncGenerator<CID> {
    yield* this.#manyAtOnce(source, ({ cid, bytes }) => this.put(cid, bytes, options))
  }

  async *getMany(source: Source<CID>, options: AbortOptions = {}): AsyncGenerator<Pair> {
    for await (const cid of source) yield { cid, bytes: this.get(cid, options) }
  }

  async *deleteMany(source: Source<CID>, options: AbortOptions = {}): AsyncGenerator<CID> {
    yield* this.#manyAtOnce(source, async cid => {
      await this.delete(cid, options)
      return cid
    })
  }

  /**
   * Lists every block. The codec in the CIDs is `raw`, because a store does not know the real codec.
   */
  async *getAll(options: AbortOptions = {}): AsyncGenerator<Pair> {
    for await (const { multihash } of this.all()) {
      options.signal?.throwIfAborted()
      const cid = cidOfMultihash(multihash)
      yield { cid, bytes: this.get(cid, options) }
    }
  }

  /** Lists the multihash and size of every block, without reading any. */
  async *all(): AsyncGenerator<{ multihash: Uint8Array; bytes: number }> {
    const table = indexKey(TABLES.blocks)
    for await (const { key, value } of this.#store.index.range(table)) {
      const place = placeIn(value)
      if (place !== undefined) yield { multihash: key.subarray(table.byteLength), bytes: sizeIn(place) }
    }
  }

  async #put(
    blocks: readonly BlockToPut[],
    { signal, isForced = false }: { signal?: AbortSignal | undefined; isForced?: boolean }
  ): Promise<void> {
    signal?.throwIfAborted()
    const small: BlockToPut[] = []
    const large: BlockToPut[] = []
    let bytes = 0
    let replacedBytes = 0
    const values = await this.#store.index.getMany(blocks.map(({ multihash }) => indexKey(TABLES.blocks, multihash)))
    for (const [i, block] of blocks.entries()) {
      const length = byteLengthOf(block.parts)
      const place = placeIn(values[i])
      const before = place === undefined ? undefined : await this.#sizeAt(place)
      if (before === length && !isForced) continue
      bytes += length
      if (place !== undefined) replacedBytes += sizeIn(place)
      if (length < SMALL_BLOCK_BYTES_MAX) small.push(block)
      else large.push(block)
    }
    if (small.length + large.length === 0) return
    await this.#capacity.take(bytes, { mayTakeLast: blocks.every(({ mayTakeLast }) => mayTakeLast === true) })
    try {
      if (small.length > 0) {
        const rows = small.map(({ multihash, parts }) => concatBytes(multihash, ...parts))
        await this.#store.write(ROW_BLOCK, rows)
      }
      if (large.length > 0) {
        const bodies = large.map(({ parts }) => (parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(...parts)))
        await this.#store.write(
          ROW_LARGE_BLOCK,
          large.map(({ multihash }) => multihash),
          bodies
        )
      }
    } catch (error) {
      this.#capacity.add(-bytes)
      throw error
    }
    this.#capacity.add(-replacedBytes)
  }

  async #read(multihash: Uint8Array): Promise<Uint8Array> {
    const place = await this.#placeOf(multihash)
    if (place === undefined) throw new NotFoundError('block is not in this store')
    return this.#store.readUnchecked(place, MULTIHASH_BYTES)
  }

  async #delete(multihash: Uint8Array): Promise<void> {
    const place = await this.#placeOf(multihash)
    if (place === undefined) return
    if (kindOf(place.segment) === LARGE_ROWS) await this.#store.change(() => this.#freeLarge(multihash))
    else await this.#store.write(ROW_FREED, [multihash])
    this.#capacity.add(-sizeIn(place))
  }

  /** Frees a large block without a row. If the index is rebuilt before its segment is gone, the block is back. */
  async #freeLarge(multihash: Uint8Array): Promise<void> {
    // A compaction may have moved it since the caller looked.
    const key = indexKey(TABLES.blocks, multihash)
    const value = await this.#store.index.get(key)
    const place = placeIn(value)
    if (value === undefined || place === undefined) return
    const dead = this.#store.markDead([place])
    await this.#store.index.batch([{ type: 'put', key, value: freedValue(value) }, ...dead])
  }

  async #sizeAt(place: Place): Promise<number> {
    const isSmall = kindOf(place.segment) !== LARGE_ROWS
    return isSmall || (await this.#store.isLongEnough(place)) ? sizeIn(place) : 0
  }

  async #placeOf(multihash: Uint8Array): Promise<Place | undefined> {
    return placeIn(await this.#store.index.get(indexKey(TABLES.blocks, multihash)))
  }

  /**
   * Processes several items concurrently and yields the results in order. Waits for all work under way before it
   * returns.
   */
  async *#manyAtOnce<In, Out>(source: Source<In>, work: (item: In) => Promise<Out>): AsyncGenerator<Out> {
    const underWay: Array<Promise<Out>> = []
    try {
      for await (const item of source) {
        const result = work(item)
        // The error is thrown when this item's turn comes. If the caller stops before that, the error is logged below.
        result.catch(() => {})
        underWay.push(result)
        if (underWay.length >= MANY_AT_ONCE) yield await (underWay.shift() as Promise<Out>)
      }
      while (underWay.length > 0) yield await (underWay.shift() as Promise<Out>)
    } finally {
      for (const result of await Promise.allSettled(underWay))
        if (result.status === 'rejected')
          this.#log.trace('work on a block failed after its caller had stopped: %s', reasonOf(result.reason))
    }
  }
}

/** Returns the size that the block at a place was written with. */
function sizeIn({ length }: Place): number {
  return length - MULTIHASH_BYTES
}

function multihashOf(cid: CID): Uint8Array {
  if (cid.multihash.bytes.byteLength !== MULTIHASH_BYTES)
    throw new InvalidInputError('cannot store this block: its CID must have a digest of 32 bytes')
  return cid.multihash.bytes
}

async function collect(source: Source<Uint8Array>): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(part)
  return parts
}
