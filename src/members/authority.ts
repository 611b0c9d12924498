import { admitBytes } from '../format/admit.ts'
import { CHAIN_MAX, SUPPORT_STATEMENTS_MAX } from '../format/constants.ts'
import type { Kind, Role } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import { decodeHlc } from '../format/stamp.ts'
import { type AnyStatement, type Signature, type Statement, signatureOf } from '../format/statement.ts'
import type { Authorized, Authorizer, Signer, Verdict } from '../log/projection.ts'
import { toHex } from '../util/bytes.ts'
import type { GrantChain, Support } from './grant-chain.ts'
import type { KnownGrants } from './known-grants.ts'
import type { Standing } from './membership-fold.ts'

/** A device that the network admits now. */
export interface Member {
  peer: PeerId
  key: Uint8Array
  /** The key for which others encrypt epoch keys. */
  x25519: Uint8Array
  name: string
  role: Role
  capacityMax: number | undefined
  zone: string | undefined
  grantId: string
}

/** An invite, and what has become of it. */
export interface InviteFacts {
  statement: Statement<'invite'>
  /** The number of devices that it has let in. */
  used: number
  /** True if an admin or the root has revoked it. Devices that it let in before that stay. */
  isRevoked: boolean
  /** False if the grant of its issuer is void, so that the invite lets nobody in. */
  isEffective: boolean
}

/**
 * What the other parts of this room ask about grants, invites and members. `Roster` implements it.
 *
 * Two questions are kept apart. What a device may *sign* follows from facts that never change, so that all members
 * accept the same statements whatever they have received before (`authorize`). Who is *in* follows from everything that
 * has been accepted, and from the time: a grant can become void once another one arrives (`standingOf`).
 */
export interface Authority extends Authorizer {
  /** All devices that are members now. */
  readonly members: Member[]
  /** Devices whose grants are all void: they were let in, and are no longer members. */
  readonly removed: Member[]
  /** All invites that the log has. */
  readonly invites: InviteFacts[]
  member(peer: PeerId): Member | undefined
  /**
   * Returns `effective`, or why a grant is void; undefined if the grant is unknown. A grant that has ended is not void.
   */
  standingOf(grant: Uint8Array): Standing | undefined
  /** Returns true if the grant is not void. It may have ended. */
  isEffective(grant: Uint8Array): boolean
  /** Returns the chain of the grant of a member that takes effect now; undefined if the device is no member. */
  chainOf(peer: PeerId): GrantChain | undefined
  /** Returns what a grant rests on, and then the grant. Empty if the grant is unknown. */
  supportOf(grant: Uint8Array): Support
  /** Returns every grant of a device, whatever its standing. */
  grantsOf(peer: PeerId): GrantChain
  invite(id: Uint8Array): InviteFacts | undefined
  /**
   * Returns the grants of the devices that an invite has let in, one of each device, in the order in which they are
   * judged. There are no more of them than the invite allows.
   */
  usersOf(invite: Uint8Array): GrantChain
  /** Returns the accepted revocations of an invite, also those that do not count. */
  revocationsOf(invite: Uint8Array): ReadonlyArray<Statement<'revocation'>>
  onChange(listener: () => void): void
}

/** Kinds of statement that the root key may sign, without a grant. */
const ROOT_KINDS: ReadonlySet<Kind> = new Set<Kind>(['root', 'grant', 'revocation', 'successor'])

/**
 * The kinds of statement that each role may sign. All others are refused. A writer signs grants only for devices that
 * have an invite.
 */
const KINDS_OF: Record<Role, ReadonlySet<Kind>> = {
  admin: new Set<Kind>([
    'grant',
    'invite',
    'revocation',
    'epoch',
    'settings',
    'out',
    'handover',
    'status',
    'entry',
    'share'
  ]),
  writer: new Set<Kind>(['grant', 'handover', 'status', 'entry', 'share']),
  reader: new Set<Kind>(['handover', 'status']),
  storage: new Set<Kind>(['status'])
}

/** The roles in order of what they allow. If a device has two grants, the one with the higher role takes effect. */
export const RANK_OF: Record<Role, number> = { storage: 0, reader: 1, writer: 2, admin: 3 }

/** Returns true if a role may write files. */
export function isWriter(role: Role): boolean {
  return role === 'admin' || role === 'writer'
}

/**
 * Returns who signed a statement and the signatures to check, if its grant is known and allows it. Returns the verdict
 * otherwise. The answer depends only on the statement and on what it names, and neither ever changes. So members that
 * receive the same statements in different orders accept the same ones in the end.
 */
export function authorize(
  statement: AnyStatement,
  network: Uint8Array,
  known: Pick<KnownGrants, 'grant' | 'invite' | 'restsOn'>
): Authorized | { refused: Verdict } {
  const signer = signerOf(statement, network, known)
  if ('refused' in signer) return signer
  const signatures = [signatureOf(statement, network, signer.author)]
  if (statement.kind !== 'grant') return { ...signer, signatures }
  const admitted = authorizeGrant(statement, network, signer, known)
  return 'refused' in admitted ? admitted : { ...signer, signatures: [...signatures, ...admitted.signatures] }
}

function signerOf(
  statement: AnyStatement,
  network: Uint8Array,
  known: Pick<KnownGrants, 'grant'>
): Signer | { refused: Verdict } {
  const { kind, hlc } = statement
  if (statement.grant === null) {
    const isAllowed = kind === 'unknown' || ROOT_KINDS.has(kind)
    return isAllowed ? { author: network, role: 'root' } : { refused: 'forbidden' }
  }
  const grant = known.grant(toHex(statement.grant))
  if (grant === undefined) return { refused: 'unknown-grant' }
  const { subject, role } = grant.statement.fields
  const isInTime = hlc >= grant.statement.hlc && (grant.end === undefined || hlc <= grant.end)
  // This version cannot know what a statement of an unknown kind means. It keeps and passes on those of members that
  // may write.
  const isAllowed = kind === 'unknown' ? isWriter(role) : KINDS_OF[role].has(kind)
  if (!isInTime || !isAllowed) return { refused: 'forbidden' }
  if (kind === 'grant' && grant.depth + 1 >= CHAIN_MAX) return { refused: 'forbidden' }
  return { author: subject, role }
}

/**
 * Returns the signatures that a grant embeds, if its signer may sign it. An admin may sign any grant. An admin or a
 * writer may let in a device that shows an invite: with the role of the invite, and before the invite ends.
 */
function authorizeGrant(
  statement: Statement<'grant'>,
  network: Uint8Array,
  { role: signerRole }: Signer,
  known: Pick<KnownGrants, 'invite' | 'restsOn'>
): { signatures: readonly Signature[] } | { refused: Verdict } {
  const { subject, x25519, role, zone, capacityMax, admit } = statement.fields
  if (admit === undefined) {
    if (signerRole === 'writer' || known.restsOn(statement) >= SUPPORT_STATEMENTS_MAX) return { refused: 'forbidden' }
    return { signatures: [] }
  }
  const invite = known.invite(toHex(admit.invite))
  if (invite === undefined) return { refused: 'unknown-grant' }
  const isInTime = statement.hlc > invite.hlc && statement.hlc <= decodeHlc(invite.fields.notAfter)
  // An invite names neither a zone nor a capacity, so only an admin can grant these.
  const isOfWriter = signerRole === 'writer' && role !== 'admin' && zone === undefined && capacityMax === undefined
  const maySign = signerRole === 'admin' || isOfWriter
  if (!maySign || role !== invite.fields.role || !isInTime || known.restsOn(statement) >= SUPPORT_STATEMENTS_MAX)
    return { refused: 'forbidden' }
  const data = admitBytes({ network, invite: invite.id, key: subject, x25519 })
  const signatures = [
    { key: invite.fields.key, data, sig: admit.inviteSig },
    { key: subject, data, sig: admit.subjectSig }
  ]
  return { signatures }
}
