import type { ChunkerName } from '../format/constants.ts'
import type { Role } from '../format/kinds.ts'

/** The options and results of the verbs of membership. Codes and ids are text, and times are dates. */

export type { Role } from '../format/kinds.ts'

/** Another member, and how this node is connected to it. */
export interface Peer {
  peerId: string
  name: string
  role: string
  /** `out`: the others have taken over its part, until it is back. */
  state: 'in' | 'draining' | 'full' | 'out'
  /** True if the member is connected and has shown its grant. */
  connected: boolean
  /** Now, if the member is connected. Null if it has never been seen. */
  lastSeen: Date | null
  /** The round trip of the last ping; null if there was none, or while not connected. */
  latencyMs: number | null
  /** Transport and security layer, such as `tcp+tls`; null while not connected. */
  via: string | null
}

/** A member of the network, or a machine that waits to become one. */
export interface MemberItem {
  /** Null only if it is not known. */
  peerId: string | null
  name: string
  /** For a machine that waits, the role that it asks for. */
  role: Role
  /** `removed` is the state of a device whose grant does not count, such as one that used an invite too late. */
  state: 'in' | 'draining' | 'full' | 'out' | 'pending' | 'removed'
  /** The code that a waiting machine shows; null for a member. */
  code: string | null
  /** When that code ends; null for a member. */
  expires: Date | null
  /** True for the member that answers. */
  self: boolean
  /**
   * Now, if it is connected. Null for a member that has never been seen, and for a machine that waits and is connected to no
   * admin any more.
   */
  lastSeen: Date | null
  /** Where it was last reached, as multiaddr text without its peer id; null if that is not known. */
  address: string | null
  /**
   * The member that let it in. Null if it joined by the network key, and for a machine that waits. Stays if the role
   * changes.
   */
  admittedBy: { peerId: string; name: string } | null
  /** The id of the invite that it used; null if it used none. */
  invite: string | null
}

/**
 * Why a node that answered and this one do not accept each other: their clocks differ too much; another process runs
 * with the same identity; one of them cannot prove that it is a member; or the exchange ended early.
 */
export type RejectionReason = 'clock-off' | 'duplicate' | 'refused' | 'unreachable'

/** A member that an admin has declared out. */
export interface DeclaredOut {
  peerId: string
  name: string
  role: Role
  /** True if it is connected. Then it counts again in a moment, with its next status. */
  connected: boolean
  /** True if it was out before, and nothing was changed. */
  already?: true | undefined
}

/** The device that was let in, turned away, or given another role. */
export interface Admitted {
  peerId: string
  name: string
  role: Role
  /** True if it had been let in before, or had this role, and nothing was changed. */
  already?: true | undefined
}

export interface InviteOptions {
  /** The role of the devices that use it. By default writer. */
  role?: Role | undefined
  /** How long it counts. By default 24 hours; from 1 minute to 365 days. */
  expiresMs?: number | undefined
  /** How many devices may use it. By default 1; up to 65,535. */
  uses?: number | 'unlimited' | undefined
}

/** A new invite. Anyone who has the token can use the invite, so it must reach only the machine that is invited. */
export interface MadeInvite {
  id: string
  token: string
  role: Role
  expires: Date
  /** Null if the number is not limited. */
  uses: number | null
}

/** An invite that this node knows of. */
export interface InviteItem {
  id: string
  role: Role
  expires: Date
  /** How many devices may use it; null if the number is not limited. */
  uses: number | null
  /** How many devices have used it. */
  used: number
  /** `open` if a machine can still use it; `void` if whoever made it was no member. */
  state: 'open' | 'expired' | 'revoked' | 'used-up' | 'void'
}

export interface NetworkInfo {
  /** The network's id, 64 hex digits. */
  network: string
  /** Six words by which people compare networks. */
  words: string
  /** The role of this node. */
  role: string
  /** The number of members, this one included. */
  members: number
  /** Whether the network key is in the keystore of this node. */
  holdsKey: boolean
}

/** A network that answered on the local network. */
export interface FoundNetwork {
  /** The network's id, 64 hex digits. */
  network: string
  words: string
  peers: Array<{ peerId: string; addresses: string[] }>
}

/** The settings of the network, by their keys. */
export type SettingKey = 'replicas' | 'ack' | 'chunker' | 'outAfter' | 'versionDays' | 'quotaStatements' | 'quotaBytes'

/** What a setting may be set to. `default` takes it back. */
export type SettingValue = number | 'all' | ChunkerName | 'default'

/** A setting of the network. */
export interface SettingItem {
  key: SettingKey
  /**
   * `replicas` and `ack` are a number of members, or `all`. `ack` is null by default: two if a second member can be
   * reached. `chunker` says how files are cut. `outAfter` is in ms, `versionDays` in days. `quotaStatements` and `quotaBytes` are what one member may sign.
   */
  value: number | 'all' | ChunkerName | null
  /** True if no admin has set it. */
  default: boolean
  /** The admin who set it, and when, by the clock of that machine; null for a default. */
  setBy: { peerId: string; name: string } | null
  setAt: Date | null
}
