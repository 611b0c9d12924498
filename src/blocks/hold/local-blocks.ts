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

/** The part of a blockstore that this room needs: any adapter of `interface-blockstore` has it; the rest only ours has. */
export type BlockPort = Pick<Blockstore, 'has' | 'get' | 'put' | 'delete'> & {
  /** The size of a block in bytes, without reading it. */
  sizeOf?(cid: BlockCid): Promise<number | undefined>
  /** Lists every block. Only a store that nobody else uses has this, since we free the blocks in it that nothing claims. */
  all?(): AsyncIterable<{ multihash: Uint8Array }>
  /** Set if the store keeps no reference to a buffer that it was given or that it returned. */
  isCopying?: boolean
}

/**
 * The blocks on this member's disk. A block is hashed again whenever it is read, so corruption is never passed on. It is
 * claimed under the same lock under which it is written, so nothing can free it in between. It is freed only if nothing
 * claims it, or if an evict has proven that the other members hold it.
 */
export class LocalBlocks {
  readonly #store: BlockPort
  readonly #claims: Claims
  readonly #onBad: (error: BlockCorruptError | BlockUnreadableError) => void
  readonly #bad = new LRUCache<string, true>({ max: BAD_BLOCKS_MAX })
  #badCount = 0
  readonly #locks = new KeyedLocks()

  /** `onBad` is called once for each block that is found damaged or unreadable, as far as these are remembered. */
  constructor(
    store: BlockPort,
    claims: Claims,
    onBad: (error: BlockCorruptError | BlockUnreadableError) => void = () => {}
  ) {
    this.#store = store
    this.#claims = claims
    this.#onBad = onBad
  }

  /** How many blocks were found damaged or unreadable since the start. */
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
   * changed, and a `BlockUnreadableError` if the disk cannot read them: the caller may then ask another member for its copy.
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

  /** The size of a block in bytes; 0 if it is not here, or damaged. */
  async sizeOf(cid: BlockCid): Promise<number> {
    if (this.#store.sizeOf !== undefined) return (await this.#store.sizeOf(cid)) ?? 0
    const bytes = await this.get(cid).catch(error => {
      // `onBad` was called with it.
      if (error instanceof BlockCorruptError) return undefined
      throw error
    })
    return bytes?.byteLength ?? 0
  }

  /** Lists the multihashes of all blocks; none if others may use the store too. */
  async *all(): AsyncGenerator<Uint8Array> {
    if (this.#store.all !== undefined) for await (const { multihash } of this.#store.all()) yield multihash
  }

  /**
   * Stores a block whose bytes the caller has verified, and runs `claim` under the block's lock. Both are durable when it
   * resolves. `claim` is left out if something claims the block already.
   */
  async keep(cid: BlockCid, bytes: Uint8Array, claim: () => Promise<void> = noChange): Promise<void> {
    await this.#locks.run(blockKey(cid), async () => {
      // Both must end before the lock is released, even if one fails, so that nothing is written later.
      for (const result of await Promise.allSettled([claim(), this.#store.put(cid, bytes)]))
        if (result.status === 'rejected') throw result.reason
    })
  }

  /** Runs `claim` under the block's lock if the block is here. Returns whether it is. */
  async claimIfHere(cid: BlockCid, claim: () => Promise<void>): Promise<boolean> {
    return this.#locks.run(blockKey(cid), async () => {
      if (!(await this.#store.has(cid))) return false
      await claim()
      return true
    })
  }

  /** Replaces a damaged block by its true bytes. */
  async replace(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    await this.#locks.run(blockKey(cid), async () => {
      await this.#store.delete(cid)
      await this.#store.put(cid, bytes)
    })
  }

  /**
   * Ends a claim by `endClaim`, then frees the block if nothing else claims it, all under the block's lock. Returns whether
   * it was freed. If `mayFree` returns false it does nothing, and the claim stays, so that a later sweep finds it again.
   * `endClaim` is left out for a block without claims.
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

  /** Frees a block although it is claimed, for an evict that has its proofs. `mayFree` runs under the block's lock. */
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

  /** Reports a bad block the first time that it is found. Returns the error, to be thrown. */
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
