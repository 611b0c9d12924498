import type { Role } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'

interface AbortOptions {
  signal?: AbortSignal | undefined
}

/** A machine that was let in, turned away, or given another role. */
export interface Admitted {
  peerId: PeerId
  name: string
  role: Role
}

/** A machine that waits to be let in. */
export interface AttemptItem {
  peer: PeerId
  name: string
  /** The role that it asked for. */
  role: Role
  code: string
  /** When it asked, and when its attempt ends: ms since the Unix epoch, by our clock. */
  sinceMs: number
  untilMs: number
  /** True if it is connected to the admin where it waits. */
  isHere: boolean
  /** The admin where it waits; undefined for this member. */
  at: PeerId | undefined
  /** Its address as multiaddr text, if it waits here. */
  address: string | undefined
}

export interface InviteInit extends AbortOptions {
  role?: Role | undefined
  expiresMs?: number | undefined
  uses?: number | 'unlimited' | undefined
}

/** A new invite. The token is a secret: whoever has it may bring a machine in. */
export interface MadeInvite {
  id: string
  token: string
  role: Role
  expires: Date
  /** Null if any number of machines may use it. */
  uses: number | null
}

export interface InviteItem {
  id: string
  role: Role
  expires: Date
  uses: number | null
  /** The number of machines that it has let in. */
  used: number
  isRevoked: boolean
}

/** The verbs of this room that let machines in. Each throws what it names in SPEC.md. */
export interface Admitting {
  /** The machines that wait here, and at the connected admins. */
  attempts(options?: AbortOptions): Promise<AttemptItem[]>
  approve(code: string, options?: AbortOptions & { role?: Role | undefined }): Promise<Admitted>
  deny(code: string, options?: AbortOptions): Promise<Admitted>
  changeRole(peer: PeerId, role: Role, options?: AbortOptions): Promise<Admitted>
  invite(init?: InviteInit): Promise<MadeInvite>
  /** `id` is the invite's statement id in hex. */
  revokeInvite(id: string, options?: AbortOptions): Promise<void>
  invites(): InviteItem[]
}
