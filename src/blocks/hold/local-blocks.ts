import { DiskError, ReadOnlyError, RowCorruptError } from '../../disk/errors.ts'
import { type BlockCid, blockKey, isNode, verifyBlock } from '../../format/cid.ts'
import { isSealedChunkLength } from '../../format/padding.ts'
import { returnBuffer } from '../../util/buffer-pool.ts'
import { concatBytes } from '../../util/bytes.ts'
import { KeyedLocks } from '../../util/locks.ts'
import { growingCache } from '../../util/lru.ts'
import { BAD_BLOCKS_MAX, ODD_BLOCKS_MAX } from '../constants.ts'
import { BlockCorruptError, BlockUnreachableError, BlockUnreadableError } from '../errors.ts'
import type { BlockPort, StoredBlock } from './block-port.ts'
import type { Claims, PutClaim } from './claims.ts'
import { FreshBlocks } from './fresh-blocks.ts'

/** The claim on a block: that of a put, or a function that makes another one. */
export type Claim = PutClaim | (() => Promise<void>)

/** How many bad blocks this member has found. */
export interface BadBlocks {
  /** The number of findings since the start. */
  found: number
  /** The number of blocks that are known to be bad now. */
  left: number
}

/**
 * The blocks on this member's disk. A block is hashed again whenever it is read, so corruption is never passed on. One
 * lock covers both writing and claiming a block, so nothing can free it in between. `Freer` alone decides which blocks
 * are freed.
 *
 * A block counts as here only if it is not known to be bad and its length may be that of a whole block. If it is bad,
 * `keep` and `replace` overwrite it with the caller's bytes.
 */
export class LocalBlocks {
  readonly #store: BlockPort
  readonly #claims: Claims
  readonly #onBad: (error: BlockCorruptError | BlockUnreadableError) => void
  readonly #bad = growingCache<string, true>(BAD_BLOCKS_MAX)
  #badFound = 0
  /** The lengths of blocks that have been verified although no sealed chunk has such a length. */
  readonly #odd = growingCache<string, number>(ODD_BLOCKS_MAX)
  readonly #locks = new KeyedLocks()
  /** The blocks that nothing claims yet and that must not be freed. */
  readonly fresh: FreshBlocks

  /**
   * `onBad` is called once for each block that is found damaged or unreadable, and again only for a block that has been
   * repaired or forgotten since.
   */
  constructor(
    store: BlockPort,
    claims: Claims,
    onBad: (error: BlockCorruptError | BlockUnreadableError) => void = () => {},
    fresh: FreshBlocks = new FreshBlocks()
  ) {
    this.#store = store
    this.#claims = claims
    this.#onBad = onBad
    this.fresh = fresh
  }

  get bad(): BadBlocks {
    return { found: this.#badFound, left: this.#bad.size }
  }

  /** Returns true if the block is here but is known to be bad. */
  isBad(cid: BlockCid): boolean {
    return this.#bad.has(blockKey(cid))
  }

  /** Returns a block's buffer to the pool. The caller must hold the only reference. */
  returnBuffer(bytes: Uint8Array): void {
    if (this.#store.isCopying === true) returnBuffer(bytes)
  }

  /**
   * Returns true if the block is here, is not known to be bad, and has a length that a whole block may have. A store
   * without `sizeOf` is only asked whether it has the block.
   */
  async has(cid: BlockCid): Promise<boolean> {
    const key = blockKey(cid)
    if (this.#bad.has(key)) return false
    if (this.#store.sizeOf === undefined) return this.#store.has(cid)
    const size = await this.#store.sizeOf(cid)
    if (size === undefined) return false
    if (isPlausible(cid, size) || this.#odd.get(key) === size) return true
    return this.#isTrue(cid)
  }

  /**
   * Returns the verified bytes, or undefined if the block is not here. Throws a `BlockCorruptError` if the bytes have
   * changed, and a `BlockUnreadableError` if the disk cannot read them. In both cases the caller may ask another member
   * for its copy.
   */
  async get(cid: BlockCid, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const bytes = await this.#read(cid, signal)
    if (bytes !== undefined && !verifyBlock(cid, bytes)) throw this.#reported(new BlockCorruptError(cid, null))
    // The block is whole now: a second read may have succeeded, or the block was written again.
    this.#forgetBad(cid)
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
   * Stores a block whose bytes the caller has verified, and claims it, both under the block's lock. Both are durable
   * when this resolves. A copy that is known to be bad, or that has another length, is overwritten. Leave `claim` out
   * if something already claims the block.
   */
  keep(cid: BlockCid, bytes: Uint8Array, claim: Claim = noChange): Promise<void> {
    return this.keepAll([{ cid, bytes }], () => this.#claim(cid, claim))
  }

  /**
   * Stores a manifest node that a record needs, as `keep` does, even if the disk is full for other blocks: until it is
   * known which blocks a record needs, none are freed.
   */
  keepNode(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    return this.keepAll([{ cid, bytes, mayTakeLast: true }])
  }

  /**
   * Stores blocks that the caller has protected and whose bytes it has verified. All are durable when this resolves.
   * After an error, some of them may be.
   */
  async keepFresh(blocks: readonly StoredBlock[]): Promise<void> {
    await this.keepAll(blocks)
    for (const { cid } of blocks) this.fresh.noteStored(cid)
  }

  /**
   * Stores blocks as `keep` does, but together, and runs `claim` once for all of them. After an error, some of them may
   * be here.
   */
  async keepAll(blocks: readonly StoredBlock[], claim: () => Promise<void> = noChange): Promise<void> {
    const keys = blocks.map(({ cid }) => blockKey(cid))
    await this.#locks.runAll(keys, async () => {
      const { putAll } = this.#store
      const good = putAll === undefined ? [] : blocks.filter((_, i) => !this.#bad.has(keys[i] as string))
      const others = good.length === blocks.length ? [] : blocks.filter(block => !good.includes(block))
      const writes = others.map(({ cid, bytes }) => this.#write(cid, bytes))
      if (good.length > 0) writes.push(this.#store.putAll?.(good) as Promise<void>)
      // All must end before the locks are released, even if one fails, so that nothing is written after that.
      for (const result of await Promise.allSettled([claim(), ...writes]))
        if (result.status === 'rejected') throw result.reason
    })
  }

  /**
   * Returns true if the block is kept here: it is here, and something claims it. A block that nothing claims is only
   * cached. It may be gone at any time, so no answer to another member may count it.
   */
  async isKept(cid: BlockCid): Promise<boolean> {
    return (await this.has(cid)) && this.#claims.isClaimed(cid.multihash.bytes)
  }

  /**
   * Claims a block under its lock if `has` says that it is here. Returns true if it was here. A block that was only
   * cached is read and verified first, since it counts as a copy from now on. Set `isKept` if the caller knows that
   * something claims the block; otherwise its claims are looked for.
   */
  async claimIfHere(cid: BlockCid, claim: Claim, { isKept = false } = {}): Promise<boolean> {
    return this.#locks.run(blockKey(cid), async () => {
      if (!(await this.has(cid))) return false
      const isClaimed = isKept || (await this.#claims.isClaimed(cid.multihash.bytes))
      if (!isClaimed && !(await this.#isTrue(cid))) return false
      await this.#claim(cid, claim)
      return true
    })
  }

  /** Replaces a damaged block with the correct bytes. */
  async replace(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    await this.#locks.run(blockKey(cid), () => this.#rewrite(cid, bytes))
  }

  /** Runs `work` under the block's lock, so that the block is not freed meanwhile. */
  whileLocked<T>(cid: BlockCid, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(blockKey(cid), work)
  }

  /**
   * Removes a block if `mayFree` returns true, and then runs `onGone`, also if the block was not here. All of it runs
   * under the block's lock. Returns the size of a block that was removed; 0 if the store does not know it. Only `Freer`
   * calls this.
   */
  async free(cid: BlockCid, mayFree: () => Promise<boolean>, onGone = noChange): Promise<number | undefined> {
    return this.#locks.run(blockKey(cid), async () => {
      if (this.fresh.isProtected(cid) || !(await mayFree())) return undefined
      // A bad block is freed too.
      const isHere = await this.#store.has(cid)
      const bytes = isHere ? ((await this.#store.sizeOf?.(cid)) ?? 0) : undefined
      if (isHere) await this.#store.delete(cid)
      this.#forgetBad(cid)
      await onGone()
      return bytes
    })
  }

  #claim(cid: BlockCid, claim: Claim): Promise<void> {
    return typeof claim === 'function'
      ? claim()
      : this.#claims.claimForPut(claim.put, [cid.multihash.bytes], claim.claimMs)
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

  async #write(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    if (this.isBad(cid)) await this.#rewrite(cid, bytes)
    else await this.#store.put(cid, bytes)
  }

  // A copy that could not be read may still be whole, and a later read may succeed. So it stays until the new one is
  // durable.
  async #rewrite(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    if (this.#store.replace !== undefined) await this.#store.replace(cid, bytes)
    else {
      await this.#store.delete(cid)
      await this.#store.put(cid, bytes)
    }
    this.#forgetBad(cid)
  }

  #forgetBad(cid: BlockCid): void {
    if (this.#bad.size > 0) this.#bad.delete(blockKey(cid))
  }

  /**
   * Reads a block, and returns true if its bytes match its name. If the length of a good block is unusual, it is
   * remembered, so that the block does not look cut.
   */
  async #isTrue(cid: BlockCid): Promise<boolean> {
    try {
      const bytes = await this.get(cid)
      if (bytes === undefined) return false
      if (!isPlausible(cid, bytes.byteLength)) this.#odd.set(blockKey(cid), bytes.byteLength)
      this.returnBuffer(bytes)
      return true
    } catch (error) {
      // `onBad` has been called with this error.
      if (error instanceof BlockCorruptError || error instanceof BlockUnreadableError) return false
      throw error
    }
  }

  /** Reports a bad block the first time that it is found. Returns the error, for the caller to throw. */
  #reported<E extends BlockCorruptError | BlockUnreadableError>(error: E): E {
    const key = blockKey(error.cid)
    if (!this.#bad.has(key)) {
      this.#bad.set(key, true)
      this.#badFound++
      this.#onBad(error)
    }
    return error
  }
}

/**
 * Returns true for a length that the block may have. Sealed chunks have few lengths. The length of a manifest node says
 * nothing, but a node is read and verified whenever a file is walked.
 */
function isPlausible(cid: BlockCid, size: number): boolean {
  return isNode(cid) ? size > 0 : isSealedChunkLength(size)
}

const noChange = async (): Promise<void> => {}
