import type { Blockstore } from 'interface-blockstore'
import { LRUCache } from 'lru-cache'
import { DiskError, ReadOnlyError, RowCorruptError } from '../../disk/errors.ts'
import { type BlockCid, blockKey, verifyBlock } from '../../format/cid.ts'
import { giveBuffer } from '../../util/buffer-pool.ts'
import { concatBytes } from '../../util/bytes.ts'
import { KeyedLocks } from '../../util/locks.ts'
import { BAD_BLOCKS_MAX } from '../constants.ts'
import { BlockCorruptError, BlockUnreadableError } from '../errors.ts'
import type { Claims } from './claims.ts'

/** What this room needs of a blockstore, which any adapter of `interface-blockstore` has; and what ours can do besides. */
export type BlockPort = Pick<Blockstore, 'has' | 'get' | 'put' | 'delete'> & {
  /** Bytes of a block without reading it. */
  sizeOf?(cid: BlockCid): Promise<number | undefined>
  /** Every block. Only a store that is ours alone has this: what is in it and claimed by nothing may be freed. */
  all?(): AsyncIterable<{ multihash: Uint8Array }>
  /** Set if it holds on to no buffer: neither to one that was put, nor to one that it gave. */
  isCopying?: boolean
}

/**
 * The blocks on this member's disk. What comes out has been hashed again, so corruption is never handed on; what goes
 * in is claimed in the same breath, so nothing can free it in between; what is freed is claimed by nobody.
 */
export class LocalBlocks {
  readonly #store: BlockPort
  readonly #claims: Claims
  readonly #onBad: (error: BlockCorruptError | BlockUnreadableError) => void
  readonly #bad = new LRUCache<string, true>({ max: BAD_BLOCKS_MAX })
  #badCount = 0
  readonly #locks = new KeyedLocks()

  /** `onBad` hears of a block that a read shows to be damaged, or could not read: once, as far as they are remembered. */
  constructor(
    store: BlockPort,
    claims: Claims,
    onBad: (error: BlockCorruptError | BlockUnreadableError) => void = () => {}
  ) {
    this.#store = store
    this.#claims = claims
    this.#onBad = onBad
  }

  /** Blocks that were found damaged since the start, or could not be read. */
  get badCount(): number {
    return this.#badCount
  }

  /** Gives the buffer of a block back that was kept or got here, and that nobody else holds. */
  giveBack(bytes: Uint8Array): void {
    if (this.#store.isCopying === true) giveBuffer(bytes)
  }

  async has(cid: BlockCid): Promise<boolean> {
    return this.#store.has(cid)
  }

  /**
   * The verified bytes, or undefined if the block is not here. A `BlockCorruptError` if it is not itself any more, a
   * `BlockUnreadableError` if the disk does not give it: another member's copy is as good then.
   */
  async get(cid: BlockCid, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const bytes = await this.#read(cid, signal)
    if (bytes !== undefined && !verifyBlock(cid, bytes)) throw this.#noted(new BlockCorruptError(cid, null))
    return bytes
  }

  /** Bytes of a block; 0 if it is not here, or not whole. */
  async sizeOf(cid: BlockCid): Promise<number> {
    if (this.#store.sizeOf !== undefined) return (await this.#store.sizeOf(cid)) ?? 0
    const bytes = await this.get(cid).catch(error => {
      if (error instanceof BlockCorruptError) return undefined
      throw error
    })
    return bytes?.byteLength ?? 0
  }

  /** The multihashes of all blocks, where the store is ours alone; else of none. */
  async *all(): AsyncGenerator<Uint8Array> {
    if (this.#store.all !== undefined) for await (const { multihash } of this.#store.all()) yield multihash
  }

  /**
   * Stores a block whose bytes the caller has verified, and runs `claim` under the block's lock. Both are durable when
   * it resolves.
   */
  async keep(cid: BlockCid, bytes: Uint8Array, claim: () => Promise<void>): Promise<void> {
    await this.#locks.run(blockKey(cid), async () => {
      // Both to their end, whatever becomes of either: nothing may be written once the lock is given back.
      for (const result of await Promise.allSettled([claim(), this.#store.put(cid, bytes)]))
        if (result.status === 'rejected') throw result.reason
    })
  }

  /** Runs `claim` if the block is here, under its lock; false if it is not. */
  async claimHeld(cid: BlockCid, claim: () => Promise<void>): Promise<boolean> {
    return this.#locks.run(blockKey(cid), async () => {
      if (!(await this.#store.has(cid))) return false
      await claim()
      return true
    })
  }

  /** Replaces a damaged block by its true bytes. */
  async mend(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    await this.#locks.run(blockKey(cid), async () => {
      await this.#store.delete(cid)
      await this.#store.put(cid, bytes)
    })
  }

  /**
   * Ends a claim by `end`, and frees the block if nobody else claims it; gives whether it did. All under the block's
   * lock; nothing is done while `mayFree` says no, so what could not be freed is found again.
   */
  async release(cid: BlockCid, mayFree: () => boolean, end: () => Promise<void>): Promise<boolean> {
    return this.#locks.run(blockKey(cid), async () => {
      if (!mayFree()) return false
      await end()
      if (await this.#claims.isClaimed(cid.multihash.bytes)) return false
      if (!(await this.#store.has(cid))) return false
      await this.#store.delete(cid)
      return true
    })
  }

  /** Frees a block although it is claimed, if `mayFree` still says so under the lock: an evict with its proofs. */
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
      if (error instanceof RowCorruptError) throw this.#noted(new BlockCorruptError(cid, null))
      if (error instanceof DiskError || error instanceof ReadOnlyError)
        throw this.#noted(new BlockUnreadableError(cid, { cause: error }))
      throw error
    }
    return parts.length === 1 ? parts[0] : concatBytes(...parts)
  }

  #noted<E extends BlockCorruptError | BlockUnreadableError>(error: E): E {
    const key = blockKey(error.cid)
    if (!this.#bad.has(key)) {
      this.#bad.set(key, true)
      this.#badCount++
      this.#onBad(error)
    }
    return error
  }
}
