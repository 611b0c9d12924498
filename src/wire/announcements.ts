import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { ANNOUNCED_AGAIN_MS, ANNOUNCERS_MAX } from './constants.ts'

/**
 * Decides which announcements of the local network are reported to the node. All nodes answer each query, and all nodes
 * hear the answers, so the same announcement arrives many times. An announcement whose addresses differ from the last
 * one of its peer is reported at once. The same one is reported again after a while, because our node may have changed
 * since: it may have moved into the subnet of the announced addresses only now.
 */
export class Announcements {
  readonly #clock: Clock
  /**
   * What each peer announced last, and when that was reported; monotonic time. The peer that was reported longest ago
   * comes first.
   */
  readonly #told = new Map<PeerId, { content: string; atMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Returns true if this announcement must be reported, and notes that it was. */
  mustTell(peer: PeerId, addresses: readonly string[]): boolean {
    const content = addresses.toSorted().join(' ')
    const before = this.#told.get(peer)
    const nowMs = this.#clock.monotonic()
    if (before?.content === content && nowMs - before.atMs < ANNOUNCED_AGAIN_MS) return false
    this.#told.delete(peer)
    const [oldest] = this.#told.keys()
    if (oldest !== undefined && this.#told.size >= ANNOUNCERS_MAX) this.#told.delete(oldest)
    this.#told.set(peer, { content, atMs: nowMs })
    return true
  }
}
