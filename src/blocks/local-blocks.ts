import type { Blockstore } from 'interface-blockstore'
import { type BlockCid, blockKey, verifyBlock } from '../format/cid.ts'
import { concatBytes } from '../util/bytes.ts'
import { KeyedLocks } from '../util/locks.ts'
import type { Claims } from './claims.ts'
import { BlockCorruptError } from './errors.ts'

/** What this room needs of a blockstore; any adapter of `interface-blockstore` has it. */
export type BlockPort = Pick<Blockstore, 'has' | 'get' | 'put' | 'delete'>

/**
 * The blocks on this member's disk. What comes out has been hashed again, so corruption is never handed on; what goes
 * in is claimed in the same breath, so nothing can free it in between; what is freed is claimed by nobody.
 */
export class LocalBlocks {
  readonly #store: BlockPort
  readonly #claims: Claims
  readonly #locks = new KeyedLocks()

  constructor(store: BlockPort, claims: Claims) {
    this.#store = store
    this.#claims = claims
  }

  async has(cid: BlockCid): Promise<boolean> {
    return this.#store.has(cid)
  }

  /** The verified bytes, or undefined if the block is not here. A `BlockCorruptError` if it is not itself any more. */
  async get(cid: BlockCid, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = []
    try {
      for await (const part of this.#store.get(cid, signal === undefined ? {} : { signal })) parts.push(part)
    } catch (error) {
      if ((error as Error).name === 'NotFoundError') return undefined
      throw error
    }
    const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : concatBytes(...parts)
    if (!verifyBlock(cid, bytes)) throw new BlockCorruptError(cid, null)
    return bytes
  }

  /**
   * Stores a block whose bytes the caller has verified, and runs `claim` under the block's lock. Both are durable when
   * it resolves.
   */
  async keep(cid: BlockCid, bytes: Uint8Array, claim: () => Promise<void>): Promise<void> {
    await this.#locks.run(blockKey(cid), async () => {
      await Promise.all([this.#store.put(cid, bytes), claim()])
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

  /** Frees a block unless somebody claims it, or `isHeld` says that its fate is promised. Gives whether it did. */
  async freeUnclaimed(cid: BlockCid, isHeld: () => boolean): Promise<boolean> {
    return this.#locks.run(blockKey(cid), async () => {
      if (isHeld() || (await this.#claims.isClaimed(cid.multihash.bytes))) return false
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
}
