import type { PeerId } from '../format/peer-id.ts'
import { hlcMs } from '../format/stamp.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { endOf, type GrantChain, isOver } from './grant-chain.ts'

/** A member that has proven its grant on a connection that still exists. */
export interface Admission {
  peer: PeerId
  /** The random number that its process drew when it started. */
  instance: Uint8Array
  /** The chain of grants under which it is admitted: the one that it has shown, or one that has renewed that since. */
  chain: GrantChain
  /** How far its clock is ahead of ours; negative if it is behind. */
  aheadMs: number
}

export interface AdmissionsOptions {
  clock: Clock
  /** Called when both sides have proven themselves. */
  onAdmitted: (admission: Admission) => void
  /** Called when an admission ends, if `onAdmitted` was called for it. */
  onDeparted: (peer: PeerId) => void
  /** Returns the chain of the peer's grant that takes effect now; undefined if the peer is no member any more. */
  chainOf: (peer: PeerId) => GrantChain | undefined
  /** Called when the grant behind an admission has expired. The admission stays current until it is removed. */
  onExpired: (peer: PeerId) => void
}

interface Entry {
  admission: Admission
  /** True once `onAdmitted` has been called. We call it only when the other side has admitted us too. */
  isAnnounced: boolean
  cancelExpiry: () => void
}

/**
 * Keeps track of who is admitted. If we have accepted a peer's proof but it has not yet confirmed ours, it may ask us,
 * but we do not ask it. An admission belongs to a peer id and one start of its process.
 */
export class Admissions {
  readonly #options: AdmissionsOptions
  readonly #entries = new Map<PeerId, Entry>()
  /** Peers whose proof we have accepted but who have not yet confirmed ours. */
  readonly #proven = new Map<PeerId, Admission>()

  constructor(options: AdmissionsOptions) {
    this.#options = options
  }

  /** Members that we may ask. */
  get peers(): PeerId[] {
    return [...this.#entries.keys()]
  }

  get all(): Admission[] {
    return [...this.#entries.values()].map(({ admission }) => admission)
  }

  /** Returns the admission of a member that we may ask, or undefined if there is none. */
  of(peer: PeerId): Admission | undefined {
    return this.#entries.get(peer)?.admission
  }

  /** Returns true if this is the current admission of its peer. */
  isCurrent(admission: Admission): boolean {
    return this.of(admission.peer) === admission
  }

  /** Returns true if a peer may ask us for more than to join. */
  mayAsk(peer: PeerId): boolean {
    return this.#entries.has(peer) || this.#proven.has(peer)
  }

  /** Records that we have accepted a peer's proof. From now on the peer may ask us. */
  addProven(admission: Admission): void {
    this.#proven.set(admission.peer, admission)
  }

  /**
   * Admits a peer that has confirmed our proof. Returns false if the peer has shown no proof of its own. If two peers
   * dial each other at the same time, our own exchange may have admitted the peer already.
   */
  confirm(peer: PeerId): boolean {
    const proven = this.#proven.get(peer) ?? this.of(peer)
    if (proven === undefined) return false
    this.announce(this.enter(proven))
    return true
  }

  /**
   * Admits a peer, so that we may ask it. Returns its current admission, which is an earlier one if the peer's process
   * has not restarted since.
   */
  enter(admission: Admission): Admission {
    const { peer, instance } = admission
    const before = this.of(peer)
    if (before !== undefined && equalBytes(before.instance, instance)) {
      this.#proven.delete(peer)
      return before
    }
    this.remove(peer)
    this.#entries.set(peer, { admission, isAnnounced: false, cancelExpiry: this.#expire(admission) })
    return admission
  }

  /** Announces an admission, once both sides have admitted each other. */
  announce(admission: Admission): void {
    const entry = this.#entries.get(admission.peer)
    if (entry?.admission !== admission || entry.isAnnounced) return
    entry.isAnnounced = true
    this.#options.onAdmitted(admission)
  }

  /** Withdraws an admission that has not been announced, because the other side did not admit us. */
  withdraw(admission: Admission): void {
    const entry = this.#entries.get(admission.peer)
    if (entry?.admission === admission && !entry.isAnnounced) this.remove(admission.peer)
  }

  /** Ends the admission of a peer, and forgets its proof. */
  remove(peer: PeerId): void {
    this.#proven.delete(peer)
    const entry = this.#entries.get(peer)
    if (entry === undefined) return
    this.#entries.delete(peer)
    entry.cancelExpiry()
    if (entry.isAnnounced) this.#options.onDeparted(peer)
  }

  /**
   * Ends the admissions whose grants have expired. Call it regularly: a timer does not notice that the clock was set, or
   * that the machine slept.
   */
  endExpired(): void {
    for (const admission of this.all) this.#endIfExpired(admission)
  }

  // An admission ends with the earliest `notAfter` of its chain.
  #expire(admission: Admission): () => void {
    const { clock } = this.#options
    const end = endOf(admission.chain)
    if (end === undefined) return () => {}
    // The end itself still counts.
    return clock.after(Math.max(0, hlcMs(end) + 1 - clock.now()), () => this.#endIfExpired(admission))
  }

  #endIfExpired(admission: Admission): void {
    const { clock, chainOf, onExpired } = this.#options
    const { peer } = admission
    const entry = this.#entries.get(peer)
    if (entry?.admission !== admission || !isOver(endOf(admission.chain), clock.now())) return
    const renewed = chainOf(peer)
    if (renewed === undefined || isOver(endOf(renewed), clock.now())) {
      onExpired(peer)
      return
    }
    // The peer need not show the grant that extends its membership, because our log has it.
    admission.chain = renewed
    entry.cancelExpiry()
    entry.cancelExpiry = this.#expire(admission)
  }
}
