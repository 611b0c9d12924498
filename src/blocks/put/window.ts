import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'

/**
 * The blocks of all puts under way, in memory. Members that are asked to keep a block pull it from this window. They
 * need not wait for our disk write, and we need not read the block back. Each put has leases for its blocks, which bounds
 * the window.
 */
export class PutWindow {
  readonly #blocks = new Map<string, { bytes: Uint8Array; users: number; takers: Set<PeerId> }>()

  /**
   * Adds a block. Once the block is durable here and enough members keep it, the caller must call the returned function
   * with the members that said that they keep it. The function returns true if nobody reads the bytes any more. They
   * may wait in a socket for a long time, but a member that keeps the block has read all of them.
   */
  add(cid: BlockCid, bytes: Uint8Array): (keptBy: ReadonlySet<PeerId>) => boolean {
    const key = blockKey(cid)
    const block = this.#blocks.get(key) ?? { bytes, users: 0, takers: new Set() }
    block.users++
    this.#blocks.set(key, block)
    return keptBy => {
      if (--block.users > 0) return false
      this.#blocks.delete(key)
      return block.bytes === bytes && [...block.takers].every(peer => keptBy.has(peer))
    }
  }

  /** Returns the bytes of a block, for a member that pulls it. */
  get(cid: BlockCid, taker: PeerId): Uint8Array | undefined {
    const block = this.#blocks.get(blockKey(cid))
    block?.takers.add(taker)
    return block?.bytes
  }
}
