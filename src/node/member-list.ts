import type { MemberItem } from '../api.ts'
import type { Fields } from '../format/kinds.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { hlcMs } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import type { AttemptItem } from '../members/admitting.ts'
import type { Authority, Member } from '../members/authority.ts'
import { chainIn } from '../members/grant-chain.ts'
import type { Members } from '../members/members.ts'
import type { Statuses } from '../members/statuses.ts'
import { stateOf } from '../members/view.ts'
import { compareBytes, toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'

export interface MemberListOptions {
  members: Pick<Members, 'self' | 'all' | 'view' | 'admitted' | 'connections' | 'on'>
  roster: Pick<Authority, 'removed' | 'supportOf' | 'grantsOf' | 'isEffective'>
  statuses: Pick<Statuses, 'of' | 'isSaidOut'>
  clock: Pick<Clock, 'now'>
}

/** The facts that are looked up for each member, collected once for the whole list. */
interface Known {
  members: ReadonlyMap<PeerId, Member>
  states: ReadonlyMap<PeerId, MemberItem['state']>
  admitted: ReadonlySet<PeerId>
  /** The addresses of those that are connected. */
  addresses: ReadonlyMap<PeerId, string>
}

/** Lists members, former members, and machines that wait to be let in, as people see them. */
export class MemberList {
  readonly #options: MemberListOptions
  /** When the connection to a member ended, in this process. Only members are in it, so it has a bound. */
  readonly #seenAtMs = new Map<PeerId, number>()

  constructor(options: MemberListOptions) {
    this.#options = options
    const { members, clock } = options
    members.on(({ event, peer }) => {
      if (event === 'departed') this.#seenAtMs.set(peer, clock.now())
    })
  }

  /** Returns this member, the others by their names, those that were removed, and those that wait. */
  items(attempts: readonly AttemptItem[]): MemberItem[] {
    const { members, roster, statuses } = this.#options
    const known: Known = {
      members: new Map(members.all.map(member => [member.peer, member])),
      states: new Map(members.view.members.map(shown => [shown.peer, stateOf(shown)])),
      admitted: new Set(members.admitted),
      addresses: new Map(members.connections().map(({ peer, address }) => [peer, address]))
    }
    const own = known.members.get(members.self.peerId)
    const others = [...known.members.values()].filter(member => member !== own).sort(byName)
    const all = own === undefined ? others : [own, ...others]
    // A member whose status has never come here is not in the view.
    const stateWithoutStatus = (peer: PeerId): MemberItem['state'] => (statuses.isSaidOut(peer) ? 'out' : 'in')
    return [
      ...all.map(member => {
        const state = known.states.get(member.peer) ?? stateWithoutStatus(member.peer)
        return this.#item(member, state, known)
      }),
      ...[...roster.removed].sort(byName).map(member => this.#item(member, 'removed', known)),
      ...attempts.map(attempt => pendingItem(attempt, this.#options.clock.now()))
    ]
  }

  #item({ peer, name, role }: Member, state: MemberItem['state'], known: Known): MemberItem {
    const { members, roster, statuses, clock } = this.#options
    const self = peer === members.self.peerId
    const first = this.#firstGrantOf(peer)
    const issuer = first && chainIn(roster.supportOf(first.id)).at(-2)?.fields
    const invite = first?.fields.admit?.invite
    return {
      peerId: peer,
      name,
      role,
      state,
      code: null,
      expires: null,
      self,
      lastSeen: self || known.admitted.has(peer) ? new Date(clock.now()) : this.lastSeen(peer),
      address: withoutPeer(known.addresses.get(peer) ?? statuses.of(peer)?.fields.addresses[0]),
      admittedBy: issuer === undefined ? null : named(issuer, known),
      invite: invite === undefined ? null : toHex(invite)
    }
  }

  /** The grant that let a device in. Later ones raise its role; they do not change how it came in. */
  #firstGrantOf(peer: PeerId): Statement<'grant'> | undefined {
    const { roster } = this.#options
    const grants = roster.grantsOf(peer)
    const effective = grants.filter(({ id }) => roster.isEffective(id))
    const isEarlier = (a: Statement, b: Statement): boolean =>
      a.hlc === b.hlc ? compareBytes(a.id, b.id) < 0 : a.hlc < b.hlc
    // A device that was removed has only void grants.
    const candidates = effective.length > 0 ? effective : grants
    return candidates.reduce<Statement<'grant'> | undefined>(
      (first, grant) => (first === undefined || isEarlier(grant, first) ? grant : first),
      undefined
    )
  }

  /**
   * Returns when a member that is not connected was last seen: the later of its last status and the end of its last
   * connection here. A stamp ahead of our clock counts as now.
   */
  lastSeen(peer: PeerId): Date | null {
    const { statuses, clock } = this.#options
    const status = statuses.of(peer)
    const stampedMs = status === undefined ? undefined : Math.min(hlcMs(status.hlc), clock.now())
    const seenMs = this.#seenAtMs.get(peer)
    if (stampedMs === undefined && seenMs === undefined) return null
    return new Date(Math.max(stampedMs ?? 0, seenMs ?? 0))
  }
}

/** A member has the name in its grant that takes effect now. A former member keeps its old name. */
function named(grant: Fields<'grant'>, { members }: Known): NonNullable<MemberItem['admittedBy']> {
  const peer = peerIdOf(grant.subject)
  return { peerId: peer, name: members.get(peer)?.name ?? grant.name }
}

function pendingItem({ peer, name, role, code, untilMs, address, isHere }: AttemptItem, nowMs: number): MemberItem {
  return {
    peerId: peer,
    name,
    role,
    state: 'pending',
    code,
    expires: new Date(untilMs),
    self: false,
    lastSeen: isHere ? new Date(nowMs) : null,
    address: withoutPeer(address),
    admittedBy: null,
    invite: null
  }
}

function withoutPeer(address: string | undefined): string | null {
  return address?.replace(/\/p2p\/[^/]+$/, '') ?? null
}

function byName(a: Member, b: Member): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1
  return a.peer < b.peer ? -1 : 1
}
