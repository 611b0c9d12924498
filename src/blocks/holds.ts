import { type BlockCid, blockKey } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'

/**
 * Promises not to free a block for a while, given to members that plan to free theirs. Kept in memory: after an unclean
 * stop nothing that could break one is done until every such promise has run out.
 */
export class Holds {
  readonly #clock: Clock
  readonly #untilByBlock = new Map<string, Map<PeerId, number>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  grant(cid: BlockCid, peer: PeerId, ms: number): void {
    const key = blockKey(cid)
    const holders = this.#untilByBlock.get(key) ?? new Map<PeerId, number>()
    this.#untilByBlock.set(key, holders.set(peer, this.#clock.now() + ms))
  }

  isHeld(cid: BlockCid): boolean {
    const key = blockKey(cid)
    const holders = this.#untilByBlock.get(key)
    if (holders === undefined) return false
    for (const [peer, until] of holders) if (until <= this.#clock.now()) holders.delete(peer)
    if (holders.size === 0) this.#untilByBlock.delete(key)
    return holders.size > 0
  }

  /** Forgets what has run out. */
  sweep(): void {
    const now = this.#clock.now()
    for (const [key, holders] of this.#untilByBlock) {
      for (const [peer, until] of holders) if (until <= now) holders.delete(peer)
      if (holders.size === 0) this.#untilByBlock.delete(key)
    }
  }
}
