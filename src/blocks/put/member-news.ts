import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { AVOID_MS } from '../constants.ts'
import type { Ranking } from '../rank.ts'
import type { PutMachine } from './put-machine.ts'
import type { PutEvent } from './put-state.ts'
import type { SilenceWatch } from './silence.ts'

export interface MemberNewsDeps {
  clock: Clock
  silence: SilenceWatch
  ranking: () => Ranking
  /** Returns the members that can be asked now. */
  admitted: () => PeerId[]
  /** Returns true for a member that recently misbehaved or was silent. It is asked only if there is nobody else. */
  isAvoided: (peer: PeerId) => boolean
}

/** Finds what has changed about the members since a put's machine was last told. */
export class MemberNews {
  readonly #deps: MemberNewsDeps
  readonly #machine: PutMachine
  /** Until when a member that failed this put is not asked again, by the monotonic clock. */
  readonly #lostUntilAtMs = new Map<PeerId, number>()

  constructor(deps: MemberNewsDeps, machine: PutMachine) {
    this.#deps = deps
    this.#machine = machine
  }

  /** Notes a member that failed although it is connected. It would probably fail again, and only after a timeout. */
  noteLost(peer: PeerId): void {
    this.#lostUntilAtMs.set(peer, this.#deps.clock.monotonic() + AVOID_MS)
  }

  /** Yields the changes of which the machine has not been told yet. */
  *take(): Generator<PutEvent> {
    const { ranking, admitted, clock } = this.#deps
    const { members } = this.#machine.state
    if (ranking() !== this.#machine.ranking) yield { type: 'view', ranking: ranking() }
    const reachable = admitted()
    for (const peer of reachable) {
      yield* this.#opinions(peer)
      const member = members.get(peer)
      const isBack = member?.isLost === true && (this.#lostUntilAtMs.get(peer) ?? 0) <= clock.monotonic()
      if (member?.isReachable !== true || isBack) yield { type: 'joined', peer }
    }
    for (const [peer, { isReachable }] of members)
      if (isReachable && !reachable.includes(peer)) yield { type: 'left', peer }
  }

  *#opinions(peer: PeerId): Generator<PutEvent> {
    const { isAvoided, silence } = this.#deps
    const member = this.#machine.state.members.get(peer)
    const now = { isAvoided: isAvoided(peer), isSilent: silence.isSilent(peer) }
    if (now.isAvoided !== (member?.isAvoided ?? false)) yield { type: 'avoided', peer, is: now.isAvoided }
    if (now.isSilent !== (member?.isSilent ?? false)) yield { type: 'silent', peer, is: now.isSilent }
  }
}
