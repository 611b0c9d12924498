import { LRUCache } from 'lru-cache'
import { type BlockCid, blockKey } from '../format/cid.ts'
import { PUT_WINDOW_BYTES } from './constants.ts'

/**
 * The blocks that were sealed last, in memory: members that are asked to keep them pull them from here, without our disk
 * being read. What falls out is on disk by then, or its put waits.
 */
export class PutWindow {
  readonly #blocks = new LRUCache<string, Uint8Array>({
    maxSize: PUT_WINDOW_BYTES,
    sizeCalculation: bytes => Math.max(1, bytes.byteLength)
  })

  add(cid: BlockCid, bytes: Uint8Array): void {
    this.#blocks.set(blockKey(cid), bytes)
  }

  get(cid: BlockCid): Uint8Array | undefined {
    return this.#blocks.get(blockKey(cid))
  }

  remove(cid: BlockCid): void {
    this.#blocks.delete(blockKey(cid))
  }
}
