import type { PeerId } from '../format/peer-id.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import type { Host } from '../wire/host.ts'
import type { ClockCheck } from './clock-check.ts'
import { ClockOffError, WrongNetworkError } from './errors.ts'
import type { MemberDialler } from './member-dialler.ts'
import type { MembershipEvent } from './members-options.ts'
import type { OwnStanding } from './own-standing.ts'
import { rejectionReason, saysDuplicate } from './rejection-reason.ts'

export interface RejectionsOptions {
  host: Pick<Host, 'connections' | 'hangUp'>
  self: PeerId
  dialler: Pick<MemberDialler, 'dropForeign'>
  clocks: Pick<ClockCheck, 'refused'>
  standing: Pick<OwnStanding, 'onDuplicate'>
  isMember: (peer: PeerId) => boolean
  log: Logger
  emit: (event: MembershipEvent) => void
}

/** What this member does when it and a peer do not accept each other. */
export class Rejections {
  readonly #options: RejectionsOptions

  constructor(options: RejectionsOptions) {
    this.#options = options
  }

  /** An attempt to join a peer has failed. */
  onFailure(peer: PeerId, error: unknown): void {
    const { host, self, dialler, clocks, standing, isMember, log, emit } = this.#options
    const address = host.connections().find(connection => connection.peer === peer)?.address
    host.hangUp(peer).catch(cause => log('could not hang up on %s: %s', peer, reasonOf(cause)))
    if (error instanceof WrongNetworkError) {
      dialler.dropForeign(peer)
      emit({ event: 'foreign', peer, network: error.network, address })
      return
    }
    const reason = rejectionReason(error)
    const aheadMs = error instanceof ClockOffError ? error.aheadMs : undefined
    if (aheadMs !== undefined) clocks.refused(peer, aheadMs)
    // Anyone who answers may say so, but only a member can know.
    if (saysDuplicate(error) && isMember(peer)) standing.onDuplicate(self)
    if (reason !== undefined) emit({ event: 'rejected', peer, reason, aheadMs })
  }

  /** We have refused a peer whose clock is ahead of ours, or behind if negative. */
  onClockOff(peer: PeerId, aheadMs: number): void {
    this.#options.clocks.refused(peer, aheadMs)
    this.#options.emit({ event: 'rejected', peer, reason: 'clock-off', aheadMs })
  }
}
