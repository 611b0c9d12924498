import type { BlockCid } from '../../format/cid.ts'
import { BLOCK_BYTES_MAX } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Budget, Lease } from '../../util/budget.ts'
import type { Clock } from '../../util/clock.ts'
import { RefusedError } from '../../wire/errors.ts'
import { SERVE_WAIT_MS } from '../constants.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import type { ReadBlock } from '../protocol/get-server.ts'
import type { Uplink } from '../uplink.ts'

export interface ServedBlocksOptions {
  clock: Clock
  memory: Budget
  /** Measures how fast blocks leave this machine. */
  uplink: Pick<Uplink, 'begin'>
  local: Pick<LocalBlocks, 'get'>
  /** The blocks of puts under way, which are in memory already. */
  window: { get: (cid: BlockCid, taker: PeerId) => Uint8Array | undefined }
}

/**
 * Reads the blocks that members ask for. A block is in memory until the last byte of the answer has been sent, which
 * depends on the member, so each answer has a lease on the member's share of the memory.
 */
export class ServedBlocks {
  readonly #options: ServedBlocksOptions

  constructor(options: ServedBlocksOptions) {
    this.#options = options
  }

  /**
   * Returns a block that is here, or undefined. Throws a `RefusedError` (`busy`) if there is no memory for it within
   * `SERVE_WAIT_MS` and nothing is being sent to the member. Otherwise it keeps waiting, since only the member's own
   * answers are in the way: over a slow link they arrive meanwhile, so the member does not give up.
   */
  async read(cid: BlockCid, signal: AbortSignal, peer: PeerId): Promise<ReadBlock | undefined> {
    const { memory, local, window, uplink } = this.#options
    const lease = memory.tryAcquire(BLOCK_BYTES_MAX, peer) ?? (await this.#waitForLease(peer, signal))
    let isRead = false
    try {
      const bytes = window.get(cid, peer) ?? (await local.get(cid, signal))
      if (bytes === undefined) return undefined
      lease.shrink(bytes.byteLength)
      isRead = true
      const end = uplink.begin(peer, bytes.byteLength)
      let isSent = false
      const release = (): void => {
        if (!isSent) end()
        isSent = true
        lease.release()
      }
      return { bytes, release }
    } finally {
      if (!isRead) lease.release()
    }
  }

  async #waitForLease(peer: PeerId, signal: AbortSignal): Promise<Lease> {
    const { clock, memory } = this.#options
    const tooLong = new AbortController()
    let cancel: () => void = () => {}
    const watch = (): void => {
      cancel = clock.after(SERVE_WAIT_MS, () => {
        if (memory.takenBy(peer) > 0) watch()
        else tooLong.abort(new RefusedError('busy'))
      })
    }
    watch()
    try {
      const either = AbortSignal.any([signal, tooLong.signal])
      return await memory.acquire(BLOCK_BYTES_MAX, { owner: peer, signal: either })
    } finally {
      cancel()
    }
  }
}
