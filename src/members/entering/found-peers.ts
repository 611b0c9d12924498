import type { PeerId } from '../../format/peer-id.ts'
import { originOf } from '../../wire/origin.ts'
import { onOurSubnets } from '../address-book.ts'
import { FOUND_PEERS_MAX, FOUND_PER_HOST_MAX } from './constants.ts'

/**
 * Decides which of the peers that announce themselves nearby are asked. Anyone may announce any number of peers, so
 * they are counted by host: one host with many of them does not hide the others.
 */
export class FoundPeers {
  readonly #taken = new Set<PeerId>()
  readonly #takenByHost = new Map<string, number>()

  /**
   * Counts a peer, and returns the addresses at which to ask it. Returns none if it was asked before, or must not be
   * asked.
   */
  take(peer: PeerId, announced: readonly string[]): string[] {
    if (this.#taken.has(peer) || this.#taken.size >= FOUND_PEERS_MAX) return []
    const addresses = onOurSubnets([...announced]).filter(address => this.#countAt(address) < FOUND_PER_HOST_MAX)
    if (addresses.length === 0) return []
    this.#taken.add(peer)
    for (const host of new Set(addresses.map(originOf)))
      this.#takenByHost.set(host, (this.#takenByHost.get(host) ?? 0) + 1)
    return addresses
  }

  #countAt(address: string): number {
    return this.#takenByHost.get(originOf(address)) ?? 0
  }
}
