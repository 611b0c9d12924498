import { type BlockCid, blockKey } from '../format/cid.ts'
import { Limiter } from '../util/limiter.ts'
import { PUT_WINDOW_BYTES } from './constants.ts'

/**
 * The blocks of all puts under way, in memory: members that are asked to keep them pull them from here, before they are
 * on our disk and without it being read. A put waits for room, so that is all the memory that puts take together.
 */
export class PutWindow {
  readonly #room = new Limiter(PUT_WINDOW_BYTES)
  readonly #blocks = new Map<string, { bytes: Uint8Array; users: number }>()

  /** Takes a block in until the returned function is called: once it is durable here, and kept by as many as must. */
  async hold(cid: BlockCid, bytes: Uint8Array, signal?: AbortSignal): Promise<() => void> {
    const release = await this.#room.acquire(bytes.byteLength, signal)
    const key = blockKey(cid)
    const block = this.#blocks.get(key) ?? { bytes, users: 0 }
    block.users++
    this.#blocks.set(key, block)
    return () => {
      release()
      if (--block.users === 0) this.#blocks.delete(key)
    }
  }

  get(cid: BlockCid): Uint8Array | undefined {
    return this.#blocks.get(blockKey(cid))?.bytes
  }
}
