import type { Blockstore } from 'interface-blockstore'
import { LRUCache } from 'lru-cache'
import { DiskError, ReadOnlyError, RowCorruptError } from '../../disk/errors.ts'
import { type BlockCid, blockKey, verifyBlock } from '../../format/cid.ts'
import { returnBuffer } from '../../util/buffer-pool.ts'
import { concatBytes } from '../../util/bytes.ts'
import { KeyedLocks } from '../../util/locks.ts'
import { BAD_BLOCKS_MAX } from '../constants.ts'
import { BlockCorruptError, BlockUnreachableError, BlockUnreadableError } from '../errors.ts'
import type { Claims } from './claims.ts'

/**
 * The part of a blockstore that this room needs. Any adapter of `interface-blockstore` has the four methods; only ours
 * has the rest.
 */
export type BlockPort = Pick<Blockstore, 'has' | 'get' | 'put' | 'delete'> & {
  /** Returns the size of a block in bytes, without reading the block. */
  sizeOf?(cid: BlockCid): Promise<number | undefined>
  /**
   * Yields every block. Only a store that nobody else uses has this method, since we free those of its blocks that
   * nothing claims.
   */
  all?(): AsyncIterable<{ multihash: Uint8Array }>
  /** True if the store keeps no reference to a buffer that it was given or that it returned. */
  isCopying?: boolean
}

/**
 * The blocks on this member's disk. A block is hashed again whenever it is read, so corruption is never passed on. One
 * lock covers both writing and claiming a block, so nothing can free it in between. A block is freed only if nothing
 * claims it, or if an evict has proven that the other members hold it.
 */
export class LocalBlocks {
  readonly #store: BlockPort
  readonly #claims: Claims
  readonly #onBad: (error: BlockCorruptError | BlockUnreadableError) => void
  readonly #bad = new LRUCache<string, true>({ max: BAD_BLOCKS_MAX })
  #badCount = 0
  readonly #locks = new KeyedLocks()

  /**
   * `onBad` is called once for each block that is found damaged or unreadable, and again only for a block that has been
   * forgotten since.
   */
  constructor(
    store: BlockPort,
    claims: Claims,
    onBad: (error: BlockCorruptError | BlockUnreadableError) => void = () => {}
  ) {
    this.#store = store
    this.#claims = claims
    this.#onBad = onBad
  }

  /** The number of blocks that were found damaged or unreadable since the start. */
  get badCount(): number {
    return this.#badCount
  }

  /** Returns a block's buffer to the pool. The caller must hold the only reference. */
  returnBuffer(bytes: Uint8Array): void {
    if (this.#store.isCopying === true) returnBuffer(bytes)
  }

  async has(cid: BlockCid): Promise<boolean> {
    return this.#store.has(cid)
  }

  /**
   * Returns the verified bytes, or undefined if the block is not here. Throws a `BlockCorruptError` if the bytes have
   * changed, and a `BlockUnreadableError` if the disk cannot read them. In both cases the caller may ask another member
   * for its copy.
   */
  async get(cid: BlockCid, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const bytes = await this.#read(cid, signal)
    if (bytes !== undefined && !verifyBlock(cid, bytes)) throw this.#reported(new BlockCorruptError(cid, null))
    return bytes
  }

  /** Like `get`, but throws a `BlockUnreachableError` if the block is not here. */
  async getOrThrow(cid: BlockCid): Promise<Uint8Array> {
    const bytes = await this.get(cid)
    if (bytes === undefined) throw new BlockUnreachableError(cid)
    return bytes
  }

  /** Returns the size of a block in bytes, or 0 if it is not here or is damaged. */
  async sizeOf(cid: BlockCid): Promise<number> {
    if (this.#store.sizeOf !== undefined) return (await this.#store.sizeOf(cid)) ?? 0
    const bytes = await this.get(cid).catch(error => {
      // `onBad` has been called with this error.
      if (error instanceof BlockCorruptError) return undefined
      throw error
    })
    return bytes?.byteLength ?? 0
  }

  /** Yields the multihashes of all blocks, or none if others may use the store too. */
  async *all(): AsyncGenerator<Uint8Array> {
    if (this.#store.all !== undefined) for await (const { multihash } of this.#store.all()) yield multihash
  }

  /**
   * Stores a block whose bytes the caller has verified, and runs `claim`, both under the block's lock. Both are durable
   * when this resolves. Leave `claim` out if something already claims the block.
   */
  async keep(cid: BlockCid, bytes: Uint8Array, claim: () => Promise<void> = noChange): Promise<void> {
    await this.#locks.run(blockKey(cid), async () => {
      // Both must end before the lock is released, even if one fails, so that nothing is written after that.
      for (const result of await Promise.allSettled([claim(), this.#store.put(cid, bytes)]))
        if (result.status === 'rejected') throw result.reason
    })
  }

  /** Runs `claim` under the block's lock if the block is here. Returns true if the block was here. */
  async claimIfHere(cid: BlockCid, claim: () => Promise<void>): Promise<boolean> {
    return this.#locks.run(blockKey(cid), async () => {
      if (!(await this.#store.has(cid))) return false
      await claim()
      return true
    })
  }

  /** Replaces a damaged block with the correct bytes. */
  async replace(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    await this.#locks.run(blockKey(cid), async () => {
      await this.#store.delete(cid)
      await this.#store.put(cid, bytes)
    })
  }

  /**
   * Runs `endClaim`, then frees the block if nothing else claims it, all under the block's lock. Returns true if the
   * block was freed. If `mayFree` returns false it does nothing, and the claim stays, so that a later sweep finds it
   * again. Leave `endClaim` out for a block without claims.
   */
  async release(cid: BlockCid, mayFree: () => boolean, endClaim: () => Promise<void> = noChange): Promise<boolean> {
    return this.#locks.run(blockKey(cid), async () => {
      if (!mayFree()) return false
      await endClaim()
      if (await this.#claims.isClaimed(cid.multihash.bytes)) return false
      if (!(await this.#store.has(cid))) return false
      await this.#store.delete(cid)
      return true
    })
  }

  /**
   * Frees a block even though it is claimed, for an evict that has collected its proofs. `mayFree` runs under the
   * block's lock.
   */
  async freeProven(cid: BlockCid, mayFree: () => Promise<boolean>): Promise<boolean> {
    return this.#locks.run(blockKey(cid), async () => {
      if (!(await mayFree())) return false
      await this.#store.delete(cid)
      return true
    })
  }

  async #read(cid: BlockCid, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = []
    try {
      for await (const part of this.#store.get(cid, signal === undefined ? {} : { signal })) parts.push(part)
    } catch (error) {
      if ((error as Error).name === 'NotFoundError') return undefined
      if (error instanceof RowCorruptError) throw this.#reported(new BlockCorruptError(cid, null))
      if (error instanceof DiskError || error instanceof ReadOnlyError)
        throw this.#reported(new BlockUnreadableError(cid, { cause: error }))
      throw error
    }
    return parts.length === 1 ? parts[0] : concatBytes(...parts)
  }

  /** Reports a bad block the first time that it is found. Returns the error, for the caller to throw. */
  #reported<E extends BlockCorruptError | BlockUnreadableError>(error: E): E {
    const key = blockKey(error.cid)
    if (!this.#bad.has(key)) {
      this.#bad.set(key, true)
      this.#badCount++
      this.#onBad(error)
    }
    return error
  }
}

const noChange = async (): Promise<void> => {}
