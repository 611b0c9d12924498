import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { JOIN_TIMEOUT_MS, JOINING_MAX, JOINING_PER_ADDRESS_MAX, PROOFS_MAX } from './constants.ts'

interface Greeting {
  /** The address that the stranger is counted under; undefined for a member, which always finds room. */
  origin: string | undefined
  proofsLeft: number
  cancel: () => void
}

/**
 * The peers between `hello` and `admitted`: few strangers at once and fewer from one address, so that nobody can keep all
 * others out. A peer has its place for a while and for a few proofs. Another `hello` extends neither.
 */
export class JoinSlots {
  readonly #clock: Clock
  readonly #slots = new Map<PeerId, Greeting>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Gives a peer a place, unless it has one. Returns false if none is left. */
  reserve(peer: PeerId, origin: string | undefined): boolean {
    if (this.#slots.has(peer)) return true
    if (origin !== undefined && !this.#hasRoom(origin)) return false
    const cancel = this.#clock.after(JOIN_TIMEOUT_MS, () => this.#slots.delete(peer))
    this.#slots.set(peer, { origin, proofsLeft: PROOFS_MAX, cancel })
    return true
  }

  has(peer: PeerId): boolean {
    return this.#slots.has(peer)
  }

  /** Counts a proof of a peer that has a place. Returns false if the peer has shown too many. */
  countProof(peer: PeerId): boolean {
    const place = this.#slots.get(peer)
    if (place === undefined || place.proofsLeft === 0) return false
    place.proofsLeft--
    return true
  }

  free(peer: PeerId): void {
    this.#slots.get(peer)?.cancel()
    this.#slots.delete(peer)
  }

  #hasRoom(origin: string): boolean {
    const strangers = [...this.#slots.values()].filter(place => place.origin !== undefined)
    const neighbours = strangers.filter(place => place.origin === origin)
    return strangers.length < JOINING_MAX && neighbours.length < JOINING_PER_ADDRESS_MAX
  }
}
