import type {
  Admitted,
  DeclaredOut,
  InviteItem,
  MadeInvite,
  MemberItem,
  NetworkInfo,
  Role,
  SettingItem,
  SettingValue
} from '../api.ts'
import { networkWords } from '../format/approval.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AbortOptions } from '../fs/types.ts'
import type { Members } from '../members/members.ts'
import type { InviteOptions } from '../members/types.ts'
import { toHex } from '../util/bytes.ts'
import { findMember } from './find-member.ts'
import type { KeptNetworkKey } from './kept-network-key.ts'
import type { MemberList } from './member-list.ts'

export interface MembershipVerbsOptions {
  members: Pick<Members, 'self' | 'all' | 'admitting'>
  list: MemberList
  networkKey: KeptNetworkKey
}

/** The verbs of `DfsNode` that are about members, invites and the network. The interface says what each of them does. */
export class MembershipVerbs {
  readonly networkKey: KeptNetworkKey
  readonly #members: MembershipVerbsOptions['members']
  readonly #list: MemberList

  constructor({ members, list, networkKey }: MembershipVerbsOptions) {
    this.networkKey = networkKey
    this.#members = members
    this.#list = list
  }

  /** Returns when a member that is not connected was last seen; null if it never was. */
  lastSeen(peer: PeerId): Date | null {
    return this.#list.lastSeen(peer)
  }

  async list(options: AbortOptions): Promise<MemberItem[]> {
    return this.#list.items(await this.#members.admitting.attempts(options))
  }

  approve(code: string, options: AbortOptions & { role?: Role | undefined }): Promise<Admitted> {
    return this.#members.admitting.approve(code, options)
  }

  deny(code: string, options: AbortOptions): Promise<Admitted> {
    return this.#members.admitting.deny(code, options)
  }

  async setRole(member: string, role: Role): Promise<Admitted> {
    const { admitting, all } = this.#members
    return admitting.changeRole(findMember(member, all).peer, role)
  }

  async declareOut(member: string): Promise<DeclaredOut> {
    const { admitting, all } = this.#members
    return admitting.declareOut(findMember(member, all).peer)
  }

  settings(): SettingItem[] {
    return this.#members.admitting.settings()
  }

  setSetting(key: string, value: SettingValue): Promise<SettingItem> {
    return this.#members.admitting.setSetting(key, value)
  }

  invite(options: InviteOptions): Promise<MadeInvite> {
    return this.#members.admitting.invite(options)
  }

  invites(): InviteItem[] {
    return this.#members.admitting.invites()
  }

  revokeInvite(invite: string): Promise<{ id: string }> {
    return this.#members.admitting.revokeInvite(invite)
  }

  networkInfo(): NetworkInfo {
    const { self, all } = this.#members
    const { network, role } = self
    return {
      network: toHex(network),
      words: networkWords(network),
      role,
      members: all.length,
      holdsKey: this.networkKey.isHeld
    }
  }

  async forgetNetworkKey(): Promise<{ forgotten: boolean }> {
    return { forgotten: await this.networkKey.forget() }
  }
}
