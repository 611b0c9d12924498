import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { JOIN_TIMEOUT_MS, JOINING_MAX, JOINING_PER_ADDRESS_MAX, PROOFS_MAX } from './constants.ts'

interface Slot {
  /** The address that the stranger is counted under; undefined for a member, which always gets a slot. */
  origin: string | undefined
  proofsLeft: number
  cancel: () => void
}

/**
 * The peers between `hello` and `admitted`: few strangers at once and fewer from one address, so that no host can keep all
 * others out. A peer has its slot for a while and for a few proofs. Another `hello` extends neither.
 */
export class JoinSlots {
  readonly #clock: Clock
  readonly #slots = new Map<PeerId, Slot>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Reserves a slot for a peer, unless it has one. Returns false if none is left. */
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

  /** Counts a proof of a peer. Returns false if the peer has no slot, or has shown too many proofs. */
  countProof(peer: PeerId): boolean {
    const slot = this.#slots.get(peer)
    if (slot === undefined || slot.proofsLeft === 0) return false
    slot.proofsLeft--
    return true
  }

  free(peer: PeerId): void {
    this.#slots.get(peer)?.cancel()
    this.#slots.delete(peer)
  }

  #hasRoom(origin: string): boolean {
    const strangers = [...this.#slots.values()].filter(slot => slot.origin !== undefined)
    const neighbours = strangers.filter(slot => slot.origin === origin)
    return strangers.length < JOINING_MAX && neighbours.length < JOINING_PER_ADDRESS_MAX
  }
}
