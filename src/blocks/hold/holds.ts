import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { HOLDS_MAX, HOLDS_PEER_MAX } from '../constants.ts'

/** A promise to one member. */
interface Hold {
  untilAtMs: number
  /** Its place in the order of all promises. */
  order: number
}

/**
 * This member's promises not to free a block for some time. It makes them to members that plan to free their own copy.
 * The promises are in memory only; after a stop, this member does nothing that could break one until all have expired.
 * They are timed by the monotonic clock, because a wall clock that is set ahead would end them early. The
 * monotonic clock may stop while the machine sleeps, which makes the promises last longer and does no harm.
 *
 * A promise does not bind against a member that has its own copy again. A member shows this by proving the block when it
 * is asked after it got the promise. The order of promise and question matters: of two members that plan to free the same
 * block at the same time, at most one got its promise before the other asked, so at most one of them frees its copy.
 */
export class Holds {
  readonly #clock: Clock
  readonly #holds = new Map<string, Map<PeerId, Hold>>()
  /** The number of promises to each peer. */
  readonly #countByPeer = new Map<PeerId, number>()
  #order = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The place of the last promise in the order of all promises. */
  get order(): number {
    return this.#order
  }

  /**
   * Promises a peer that a block will not be freed. Returns false if no more promises can be remembered, or if the peer
   * has too many of them already.
   */
  grant(cid: BlockCid, peer: PeerId, holdMs: number): boolean {
    const key = blockKey(cid)
    const holders = this.#holds.get(key) ?? new Map<PeerId, Hold>()
    const isNew = !holders.has(peer)
    const count = this.#countByPeer.get(peer) ?? 0
    if (isNew && ((holders.size === 0 && this.#holds.size >= HOLDS_MAX) || count >= HOLDS_PEER_MAX)) return false
    if (isNew) this.#countByPeer.set(peer, count + 1)
    const untilAtMs = this.#clock.monotonic() + holdMs
    this.#holds.set(key, holders.set(peer, { untilAtMs, order: ++this.#order }))
    return true
  }

  /**
   * Returns true while a promise about the block binds. `provenAt` lists members that have proven the block, each with
   * the `order` at the time when it was asked.
   */
  isHeld(cid: BlockCid, provenAt: ReadonlyMap<PeerId, number> = NOBODY): boolean {
    const holders = this.#holds.get(blockKey(cid))
    if (holders === undefined) return false
    const nowAtMs = this.#clock.monotonic()
    for (const [peer, { untilAtMs, order }] of holders)
      if (untilAtMs > nowAtMs && order > (provenAt.get(peer) ?? -1)) return true
    return false
  }

  /** How long the last promise still lasts, in milliseconds; 0 if none does. */
  get lastMs(): number {
    let lastAtMs = Number.NEGATIVE_INFINITY
    for (const holders of this.#holds.values())
      for (const { untilAtMs } of holders.values()) lastAtMs = Math.max(lastAtMs, untilAtMs)
    return Math.max(0, lastAtMs - this.#clock.monotonic())
  }

  /** Forgets the promises that have expired. */
  sweep(): void {
    const nowAtMs = this.#clock.monotonic()
    for (const [key, holders] of this.#holds) {
      for (const [peer, { untilAtMs }] of holders)
        if (untilAtMs <= nowAtMs) {
          holders.delete(peer)
          this.#countOneLess(peer)
        }
      if (holders.size === 0) this.#holds.delete(key)
    }
  }

  #countOneLess(peer: PeerId): void {
    const count = (this.#countByPeer.get(peer) ?? 1) - 1
    if (count > 0) this.#countByPeer.set(peer, count)
    else this.#countByPeer.delete(peer)
  }
}

const NOBODY: ReadonlyMap<PeerId, number> = new Map()
