import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { HOLDS_MAX } from '../constants.ts'

/**
 * Promises not to free a block for a while, given to members that plan to free theirs. Kept in memory: after an unclean
 * stop nothing that could break one is done until every such promise has run out. Counted by the clock that only moves
 * forward: a wall clock set ahead would end them early, and one that stands still while the machine sleeps keeps them
 * for longer, which is no harm.
 */
export class Holds {
  readonly #clock: Clock
  readonly #untilByBlock = new Map<string, Map<PeerId, number>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Promises a block to a peer; false if no more promises can be remembered. */
  grant(cid: BlockCid, peer: PeerId, ms: number): boolean {
    const key = blockKey(cid)
    const holders = this.#untilByBlock.get(key) ?? new Map<PeerId, number>()
    if (holders.size === 0 && this.#untilByBlock.size >= HOLDS_MAX) return false
    this.#untilByBlock.set(key, holders.set(peer, this.#clock.monotonic() + ms))
    return true
  }

  isHeld(cid: BlockCid): boolean {
    const holders = this.#untilByBlock.get(blockKey(cid))
    if (holders === undefined) return false
    const now = this.#clock.monotonic()
    for (const until of holders.values()) if (until > now) return true
    return false
  }

  /** Forgets what has run out. */
  sweep(): void {
    const now = this.#clock.monotonic()
    for (const [key, holders] of this.#untilByBlock) {
      for (const [peer, until] of holders) if (until <= now) holders.delete(peer)
      if (holders.size === 0) this.#untilByBlock.delete(key)
    }
  }
}
