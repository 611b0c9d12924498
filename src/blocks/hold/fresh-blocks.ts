import { type BlockCid, blockKey, isNode } from '../../format/cid.ts'

interface Fresh {
  cid: BlockCid
  holders: number
  /** True once the block is durable here. */
  isStored: boolean
  /** True once a record refers to it. */
  isReferenced: boolean
}

/**
 * Small blocks that are stored a moment before the record that refers to them. They have no claim meanwhile, since a
 * claim that ends at once costs more than such a block; they are protected here, in memory, and not freed. If the record
 * does not come, they are left to the releaser. After a crash, the sweep finds those that nothing claims.
 */
export class FreshBlocks {
  readonly #fresh = new Map<string, Fresh>()
  readonly #onLeft: (cids: readonly BlockCid[]) => void

  /** `onLeft` is called with blocks that are stored and that no record has referred to while they were protected. */
  constructor(onLeft: (cids: readonly BlockCid[]) => void = () => {}) {
    this.#onLeft = onLeft
  }

  /** Protects blocks from being freed until the returned function is called, once. */
  protect(cids: readonly BlockCid[]): () => void {
    for (const cid of cids) {
      const key = blockKey(cid)
      const fresh = this.#fresh.get(key)
      if (fresh === undefined) this.#fresh.set(key, { cid, holders: 1, isStored: false, isReferenced: false })
      else fresh.holders++
    }
    return () => this.#end(cids)
  }

  isProtected(cid: BlockCid): boolean {
    return this.#fresh.size > 0 && this.#fresh.has(blockKey(cid))
  }

  /** Returns true if a block is protected and durable. There are no manifest nodes among these blocks. */
  isStored(cid: BlockCid): boolean {
    if (this.#fresh.size === 0 || isNode(cid)) return false
    return this.#fresh.get(blockKey(cid))?.isStored === true
  }

  noteStored(cid: BlockCid): void {
    const fresh = this.#fresh.get(blockKey(cid))
    if (fresh !== undefined) fresh.isStored = true
  }

  /** Notes that a record that refers to a block has been accepted. */
  noteReferenced(cid: BlockCid): void {
    const fresh = this.#fresh.get(blockKey(cid))
    if (fresh !== undefined) fresh.isReferenced = true
  }

  #end(cids: readonly BlockCid[]): void {
    const left: BlockCid[] = []
    for (const cid of cids) {
      const key = blockKey(cid)
      const fresh = this.#fresh.get(key)
      if (fresh === undefined || --fresh.holders > 0) continue
      this.#fresh.delete(key)
      if (fresh.isStored && !fresh.isReferenced) left.push(fresh.cid)
    }
    if (left.length > 0) this.#onLeft(left)
  }
}
