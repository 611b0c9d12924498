import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { HOLDS_MAX } from '../constants.ts'

/**
 * This member's promises not to free a block for some time. It makes them to members that plan to free their own copy.
 * The promises are in memory only; after a stop, this member does nothing that could break one until all have expired.
 * They are timed by the monotonic clock, because a wall clock that is set ahead would end them early. The
 * monotonic clock may stop while the machine sleeps, which makes the promises last longer and does no harm.
 */
export class Holds {
  readonly #clock: Clock
  readonly #untilAtMs = new Map<string, Map<PeerId, number>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Promises a peer that a block will not be freed. Returns false if no more promises can be remembered. */
  grant(cid: BlockCid, peer: PeerId, holdMs: number): boolean {
    const key = blockKey(cid)
    const holders = this.#untilAtMs.get(key) ?? new Map<PeerId, number>()
    if (holders.size === 0 && this.#untilAtMs.size >= HOLDS_MAX) return false
    this.#untilAtMs.set(key, holders.set(peer, this.#clock.monotonic() + holdMs))
    return true
  }

  /** Returns true while a promise about the block lasts. */
  isHeld(cid: BlockCid): boolean {
    const holders = this.#untilAtMs.get(blockKey(cid))
    if (holders === undefined) return false
    const nowAtMs = this.#clock.monotonic()
    for (const untilAtMs of holders.values()) if (untilAtMs > nowAtMs) return true
    return false
  }

  /** How long the last promise still lasts, in milliseconds; 0 if none does. */
  get lastMs(): number {
    let lastAtMs = Number.NEGATIVE_INFINITY
    for (const holders of this.#untilAtMs.values())
      for (const untilAtMs of holders.values()) lastAtMs = Math.max(lastAtMs, untilAtMs)
    return Math.max(0, lastAtMs - this.#clock.monotonic())
  }

  /** Forgets the promises that have expired. */
  sweep(): void {
    const nowAtMs = this.#clock.monotonic()
    for (const [key, holders] of this.#untilAtMs) {
      for (const [peer, untilAtMs] of holders) if (untilAtMs <= nowAtMs) holders.delete(peer)
      if (holders.size === 0) this.#untilAtMs.delete(key)
    }
  }
}
