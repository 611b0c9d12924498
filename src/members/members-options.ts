import type { Store } from '../disk/store.ts'
import type { Role } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Log } from '../log/log.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import type { Host } from '../wire/host.ts'
import type { Compared } from './comparisons.ts'
import type { Handovers } from './joining/grant-signer.ts'
import type { MembershipParts } from './load.ts'
import type { LocalMember } from './local-member.ts'
import type { MemberDiallerOptions } from './member-dialler.ts'
import type { Outs } from './outs.ts'
import type { Roster } from './roster.ts'
import type { Settings } from './settings.ts'
import type { Statuses } from './statuses.ts'
import type { RejectionReason } from './types.ts'

export interface MembersOptions
  extends Pick<MembershipParts, 'alsoLoad'>,
    Pick<MemberDiallerOptions, 'bootstrap' | 'entryAddresses' | 'onUnreachable'> {
  host: Host
  store: Store
  log: Log
  self: LocalMember
  roster: Roster
  statuses: Statuses
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  settings: Settings
  outs: Outs
  /** This node's own `--out-after`, in ms, which can only raise the network's for this node; undefined if none is given. */
  outAfterMs: number | undefined
  /** The bytes that this member offers, and whether it is full. */
  capacity: () => { weight: number; isFull: boolean }
  /**
   * Hands over the keys that this member holds. Without it, devices that we let in get their keys from other members.
   */
  handovers?: Handovers | undefined
  onFault: (peer: PeerId) => void
}

/** Something that happened with a peer. */
export type MembershipEvent =
  | { event: 'admitted'; peer: PeerId }
  | { event: 'departed'; peer: PeerId }
  /** The peer belongs to another network, whose id is not always known. `address` is where it answered. */
  | { event: 'foreign'; peer: PeerId; network: Uint8Array | undefined; address: string | undefined }
  /** The peer and this node do not accept each other. */
  | { event: 'rejected'; peer: PeerId; reason: RejectionReason; aheadMs?: number | undefined }
  /** The clock of an admitted member was found to be ahead of ours by more than five minutes, or behind if negative. */
  | { event: 'clock'; peer: PeerId; aheadMs: number }
  /** We have received everything that this member had and we lacked. */
  | ({ event: 'compared'; peer: PeerId } & Compared)
  /** A machine asks us to be let in. Its name is its own choice. */
  | { event: 'asking'; peer: PeerId; code: string; name: string; role: Role }
  /** Two processes run with the identity of this peer, which may be our own: a data directory was copied. */
  | { event: 'duplicate'; peer: PeerId }
  /** We are no longer a member. */
  | { event: 'removed'; peer: PeerId }
