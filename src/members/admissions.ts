import type { PeerId } from '../format/peer-id.ts'
import { decodeHlc, hlcMs } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'

/** A member that has proven its grant on a connection that still exists. */
export interface Admission {
  peer: PeerId
  /** The random number that its process drew at its start. */
  instance: Uint8Array
  chain: Array<Statement<'grant'>>
  /** How far its clock is ahead of ours; negative if it is behind. */
  aheadMs: number
}

export interface AdmissionsOptions {
  clock: Clock
  /** Called when both sides have proven themselves. */
  onAdmitted: (admission: Admission) => void
  /** Called when an admission ends for which `onAdmitted` was called. */
  onDeparted: (peer: PeerId) => void
  /** Called when the grant behind an admission has expired. The admission still counts until it is removed. */
  onExpired: (peer: PeerId) => void
}

interface Entry {
  admission: Admission
  /** Whether `onAdmitted` has been called. We wait with it until the other side has admitted us too. */
  isAnnounced: boolean
  cancelExpiry: () => void
}

/**
 * Who is admitted. A peer that has shown its proof but has not said that it accepts ours may ask us, and we do not ask it.
 * An admission belongs to a peer id and one start of its process.
 */
export class Admissions {
  readonly #options: AdmissionsOptions
  readonly #entries = new Map<PeerId, Entry>()
  /** Peers whose proof we accepted, and that have not yet said that they accepted ours. */
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

  /** The admission of a member that we may ask; undefined if there is none. */
  of(peer: PeerId): Admission | undefined {
    return this.#entries.get(peer)?.admission
  }

  /** Whether this admission is the one that counts for its peer. */
  isCurrent(admission: Admission): boolean {
    return this.of(admission.peer) === admission
  }

  /** Whether a peer may ask us anything but to join. */
  mayAsk(peer: PeerId): boolean {
    return this.#entries.has(peer) || this.#proven.has(peer)
  }

  /** Records that we accepted a peer's proof. From now on it may ask us. */
  addProven(admission: Admission): void {
    this.#proven.set(admission.peer, admission)
  }

  /**
   * Admits a peer that has said that it accepts our proof. Returns false if it has shown none. If two peers dial each
   * other at once, our own exchange may have admitted it already.
   */
  confirm(peer: PeerId): boolean {
    const proven = this.#proven.get(peer) ?? this.of(peer)
    if (proven === undefined) return false
    this.announce(this.enter(proven))
    return true
  }

  /**
   * Admits a peer, so that we may ask it. Returns the admission that counts: an earlier one of the same start of its
   * process, if there is one.
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

  // An admission ends with the earliest `notAfter` of its chain.
  #expire(admission: Admission): () => void {
    const { clock, onExpired } = this.#options
    const ends = admission.chain.flatMap(({ fields }) =>
      fields.notAfter === undefined ? [] : [hlcMs(decodeHlc(fields.notAfter))]
    )
    if (ends.length === 0) return () => {}
    return clock.after(Math.max(0, Math.min(...ends) - clock.now()), () => {
      if (this.isCurrent(admission)) onExpired(admission.peer)
    })
  }
}
