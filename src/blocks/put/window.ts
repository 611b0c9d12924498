import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { Limiter } from '../../util/limiter.ts'
import { PUT_WINDOW_BYTES } from '../constants.ts'

/**
 * The blocks of all puts under way, in memory: members that are asked to keep them pull them from here, before they are
 * on our disk and without it being read. A put waits for room, so that is all the memory that puts take together.
 */
export class PutWindow {
  readonly #room = new Limiter(PUT_WINDOW_BYTES)
  readonly #blocks = new Map<string, { bytes: Uint8Array; users: number; takers: Set<PeerId> }>()

  /**
   * Takes a block in until the returned function is called: once it is durable here, and kept by as many as must. That
   * function says whether nobody reads the bytes any more, given who has said that it keeps the block. Bytes may wait in
   * a socket for long; but whoever keeps a block has read it to its end.
   */
  async hold(
    cid: BlockCid,
    bytes: Uint8Array,
    signal?: AbortSignal
  ): Promise<(keptBy: ReadonlySet<PeerId>) => boolean> {
    const release = await this.#room.acquire(bytes.byteLength, signal)
    const key = blockKey(cid)
    const block = this.#blocks.get(key) ?? { bytes, users: 0, takers: new Set() }
    block.users++
    this.#blocks.set(key, block)
    return keptBy => {
      release()
      if (--block.users > 0) return false
      this.#blocks.delete(key)
      return block.bytes === bytes && [...block.takers].every(peer => keptBy.has(peer))
    }
  }

  /** The bytes of a block, for a member that pulls it. */
  get(cid: BlockCid, taker: PeerId): Uint8Array | undefined {
    const block = this.#blocks.get(blockKey(cid))
    block?.takers.add(taker)
    return block?.bytes
  }
}
