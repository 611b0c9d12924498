import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { JOIN_TIMEOUT_MS, JOINING_MAX, JOINING_PER_ADDRESS_MAX, PROOFS_MAX } from './constants.ts'

interface Slot {
  /** The address under which the stranger is counted; undefined for a member, which always gets a slot. */
  origin: string | undefined
  proofsLeft: number
  cancel: () => void
}

/**
 * The peers between `hello` and `admitted`. The number of strangers is limited, and the number from one address even
 * more, so that no single host can keep all others out. A peer keeps its slot for a limited time and a limited number
 * of proofs. Another `hello` extends neither limit.
 */
export class JoinSlots {
  readonly #clock: Clock
  readonly #slots = new Map<PeerId, Slot>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Reserves a slot for a peer, unless the peer has one already. Returns false if no slot is left. */
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
