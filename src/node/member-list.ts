import type { MemberItem } from '../api.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { hlcMs } from '../format/stamp.ts'
import type { AttemptItem } from '../members/admitting.ts'
import type { Authority, Member } from '../members/authority.ts'
import { chainIn } from '../members/grant-chain.ts'
import type { Members } from '../members/members.ts'
import type { Statuses } from '../members/statuses.ts'
import { fromHex, toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'

export interface MemberListOptions {
  members: Pick<Members, 'self' | 'all' | 'view' | 'admitted' | 'connections' | 'on'>
  roster: Pick<Authority, 'removed' | 'supportOf'>
  statuses: Pick<Statuses, 'of'>
  clock: Pick<Clock, 'now'>
}

/** Everybody who is in, was in, or waits to be let in, as people see them. */
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
    const { members, roster } = this.#options
    const isSelf = ({ peer }: Member): boolean => peer === members.self.peerId
    const others = members.all.filter(member => !isSelf(member)).sort(byName)
    const shown = [...members.all.filter(isSelf), ...others].map(member => this.#item(member, this.#stateOf(member)))
    const removed = [...roster.removed].sort(byName).map(member => this.#item(member, 'removed'))
    return [...shown, ...removed, ...attempts.map(pendingItem)]
  }

  #item({ peer, name, role, grantId }: Member, state: MemberItem['state']): MemberItem {
    const { members, roster, statuses, clock } = this.#options
    const self = peer === members.self.peerId
    const isHere = self || members.admitted.includes(peer)
    const chain = chainIn(roster.supportOf(fromHex(grantId)))
    const issuer = chain.at(-2)?.fields
    const invite = chain.at(-1)?.fields.admit?.invite
    const connection = members.connections().find(connection => connection.peer === peer)
    return {
      peerId: peer,
      name,
      role,
      state,
      code: null,
      expires: null,
      self,
      lastSeen: isHere ? new Date(clock.now()) : this.#lastSeen(peer),
      address: withoutPeer(connection?.address ?? statuses.of(peer)?.fields.addresses[0]),
      admittedBy: issuer === undefined ? null : this.#named(issuer.subject, issuer.name),
      invite: invite === undefined ? null : toHex(invite)
    }
  }

  #stateOf({ peer }: Member): MemberItem['state'] {
    const shown = this.#options.members.view.members.find(member => member.peer === peer)
    if (shown?.isOut === true) return 'out'
    if (shown?.isDraining === true) return 'draining'
    return shown?.isFull === true ? 'full' : 'in'
  }

  /** The later of its last status and the end of its last connection here. A stamp ahead of our clock counts as now. */
  #lastSeen(peer: PeerId): Date | null {
    const { statuses, clock } = this.#options
    const status = statuses.of(peer)
    const stampedMs = status === undefined ? undefined : Math.min(hlcMs(status.hlc), clock.now())
    const seenMs = this.#seenAtMs.get(peer)
    if (stampedMs === undefined && seenMs === undefined) return null
    return new Date(Math.max(stampedMs ?? 0, seenMs ?? 0))
  }

  /** A member has the name of its grant that takes effect now. One that is no member any more keeps its old name. */
  #named(key: Uint8Array, name: string): NonNullable<MemberItem['admittedBy']> {
    const peer = peerIdOf(key)
    return { peerId: peer, name: this.#options.members.all.find(member => member.peer === peer)?.name ?? name }
  }
}

function pendingItem({ peer, name, role, code, untilMs, address }: AttemptItem): MemberItem {
  return {
    peerId: peer,
    name,
    role,
    state: 'pending',
    code,
    expires: new Date(untilMs),
    self: false,
    lastSeen: null,
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
