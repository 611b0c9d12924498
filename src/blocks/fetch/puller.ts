import type { BlockCid } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { Limiter } from '../../util/limiter.ts'
import { PULL_BYTES_MAX } from '../constants.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import type { Fetcher, FetchOptions } from './fetcher.ts'

export interface PullOptions extends FetchOptions {
  /** Claims the block while its lock is held. Leave it out if something already claims the block. */
  claim?: (() => Promise<void>) | undefined
}

/**
 * Brings blocks onto this disk for whatever reason: a writer asked us to keep them, a hold needs them, or this member
 * owes them. All pulls share one limit on the bytes under way, so that memory stays bounded.
 */
export class BlockPuller {
  readonly #fetcher: Pick<Fetcher, 'fetch'>
  readonly #local: Pick<LocalBlocks, 'keep'>
  readonly #bytes = new Limiter(PULL_BYTES_MAX)

  constructor(fetcher: Pick<Fetcher, 'fetch'>, local: Pick<LocalBlocks, 'keep'>) {
    this.#fetcher = fetcher
    this.#local = local
  }

  /**
   * Fetches one block, verifies it, and stores it together with its claim. Both are durable when this resolves. Returns
   * the peer that delivered the block. Throws what `fetch` throws, and a `NoSpaceError` if the disk is full.
   */
  async pull(cid: BlockCid, { claim, ...options }: PullOptions): Promise<PeerId> {
    const free = await this.#bytes.acquire(CHUNK_BYTES, options.signal)
    try {
      const { bytes, from, release } = await this.#fetcher.fetch(cid, options)
      await this.#local.keep(cid, bytes, claim)
      release()
      return from
    } finally {
      free()
    }
  }
}
