import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { Limiter } from '../../util/limiter.ts'
import { PUT_WINDOW_BYTES } from '../constants.ts'

/**
 * The blocks of all puts under way, in memory. Members that are asked to keep a block pull it from here, so they need not
 * wait until it is on our disk, and it is not read from there. A put waits for room here, which bounds the memory of all
 * puts together.
 */
export class PutWindow {
  readonly #room = new Limiter(PUT_WINDOW_BYTES)
  readonly #blocks = new Map<string, { bytes: Uint8Array; users: number; takers: Set<PeerId> }>()

  /**
   * Adds a block. The caller calls the returned function once the block is durable here and enough members keep it, with
   * the members that said so. It returns true if nobody reads the bytes any more: they may wait in a socket for long, but a
   * member that keeps the block has read all of them.
   */
  async add(cid: BlockCid, bytes: Uint8Array, signal?: AbortSignal): Promise<(keptBy: ReadonlySet<PeerId>) => boolean> {
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
