import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { AVOID_MS } from '../constants.ts'
import type { Ranking } from '../rank.ts'
import type { Uplink } from '../uplink.ts'
import type { PutMachine } from './put-machine.ts'
import type { PutEvent } from './put-state.ts'
import type { SilenceWatch } from './silence.ts'

export interface MemberNewsDeps {
  clock: Clock
  silence: SilenceWatch
  uplink: Pick<Uplink, 'width' | 'bytesPerS'>
  ranking: () => Ranking
  /** Returns the members that can be asked now. */
  admitted: () => readonly PeerId[]
  /**
   * Returns true for a member that recently misbehaved or was silent, or for which too much waits. It is asked only if
   * there is nobody else.
   */
  isAvoided: (peer: PeerId) => boolean
}

/** Finds what has changed about the members and our uplink since a put's machine was last told. */
export class MemberNews {
  readonly #deps: MemberNewsDeps
  readonly #machine: PutMachine
  /** The time until which a member that failed this put is not asked again, by the monotonic clock. */
  readonly #lostUntilAtMs = new Map<PeerId, number>()

  constructor(deps: MemberNewsDeps, machine: PutMachine) {
    this.#deps = deps
    this.#machine = machine
  }

  /** Notes a member that failed although it is connected. It would probably fail again, and only after a timeout. */
  noteLost(peer: PeerId): void {
    this.#lostUntilAtMs.set(peer, this.#deps.clock.monotonic() + AVOID_MS)
  }

  /** Tells the machine what has changed. Most of the time nothing has, so this costs a small put little. */
  tell(feed: (event: PutEvent) => void): void {
    const { ranking, admitted, clock, uplink } = this.#deps
    const { members } = this.#machine.state
    const { width } = uplink
    if (width !== this.#machine.state.uplink) feed({ type: 'uplink', width })
    const current = ranking()
    if (current !== this.#machine.ranking) feed({ type: 'view', ranking: current })
    const reachable = admitted()
    for (const peer of reachable) {
      this.#tellOpinions(peer, feed)
      const member = members.get(peer)
      const isBack = member?.isLost === true && (this.#lostUntilAtMs.get(peer) ?? 0) <= clock.monotonic()
      if (member?.isReachable !== true || isBack) feed({ type: 'joined', peer })
    }
    for (const [peer, { isReachable }] of members)
      if (isReachable && !reachable.includes(peer)) feed({ type: 'left', peer })
  }

  #tellOpinions(peer: PeerId, feed: (event: PutEvent) => void): void {
    const { isAvoided, silence } = this.#deps
    const member = this.#machine.state.members.get(peer)
    const isAvoidedNow = isAvoided(peer)
    const isSilentNow = silence.isSilent(peer)
    if (isAvoidedNow !== (member?.isAvoided ?? false)) feed({ type: 'avoided', peer, is: isAvoidedNow })
    if (isSilentNow !== (member?.isSilent ?? false)) feed({ type: 'silent', peer, is: isSilentNow })
  }
}
