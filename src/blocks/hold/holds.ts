import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { HOLDS_MAX } from '../constants.ts'

/**
 * Promises not to free a block for a while, which this member gives to members that plan to free their own copy. They are
 * in memory only: after an unclean stop this member does nothing that could break one until all have run out. They are
 * timed by the clock that only moves forward. A wall clock that is set ahead would end them early; one that stands still
 * while the machine sleeps keeps them for longer, which does no harm.
 */
export class Holds {
  readonly #clock: Clock
  readonly #untilAtMs = new Map<string, Map<PeerId, number>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Promises a block to a peer. Returns false if no more promises can be remembered. */
  grant(cid: BlockCid, peer: PeerId, holdMs: number): boolean {
    const key = blockKey(cid)
    const holders = this.#untilAtMs.get(key) ?? new Map<PeerId, number>()
    if (holders.size === 0 && this.#untilAtMs.size >= HOLDS_MAX) return false
    this.#untilAtMs.set(key, holders.set(peer, this.#clock.monotonic() + holdMs))
    return true
  }

  isHeld(cid: BlockCid): boolean {
    const holders = this.#untilAtMs.get(blockKey(cid))
    if (holders === undefined) return false
    const nowAtMs = this.#clock.monotonic()
    for (const untilAtMs of holders.values()) if (untilAtMs > nowAtMs) return true
    return false
  }

  /** Forgets the promises that have run out. */
  sweep(): void {
    const nowAtMs = this.#clock.monotonic()
    for (const [key, holders] of this.#untilAtMs) {
      for (const [peer, untilAtMs] of holders) if (untilAtMs <= nowAtMs) holders.delete(peer)
      if (holders.size === 0) this.#untilAtMs.delete(key)
    }
  }
}
