import { SUPPORT_STATEMENTS_MAX } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { idOf, type Statement } from '../../format/statement.ts'
import { byteLengthOf } from '../../util/bytes.ts'
import type { Authority } from '../authority.ts'
import { JOIN_BYTES_MAX } from '../constants.ts'

type Facts = Pick<Authority, 'grantsOf' | 'supportOf' | 'standingOf' | 'usersOf' | 'revocationsOf'>

/**
 * Returns the statements from which a device whose grants are void can see that for itself, each after everything that
 * it rests on. They are as few as possible: a revocation of the invite, or the grants of as many other devices as the
 * invite may let in. Empty unless all grants of the device are void, and if they do not fit into one message.
 */
export function evidenceAgainst(peer: PeerId, roster: Facts): Uint8Array[] {
  const grants = roster.grantsOf(peer)
  if (grants.some(({ id }) => roster.standingOf(id) === 'effective')) return []
  const found = new Map<string, Uint8Array>()
  for (const { id } of grants) for (const statement of reasonOf(id, roster)) found.set(idOf(statement), statement.bytes)
  const statements = [...found.values()]
  return statements.length <= SUPPORT_STATEMENTS_MAX && byteLengthOf(statements) <= JOIN_BYTES_MAX ? statements : []
}

/**
 * Returns the statements that make a grant void. They explain the first void one of the grants that it rests on and
 * itself.
 */
function reasonOf(id: Uint8Array, roster: Facts): Statement[] {
  for (const above of roster.supportOf(id)) {
    if (above.kind !== 'grant' || above.fields.admit === undefined) continue
    const { invite } = above.fields.admit
    const standing = roster.standingOf(above.id)
    if (standing === 'used-up') return roster.usersOf(invite).flatMap(({ id }) => roster.supportOf(id))
    if (standing === 'invite-void') return revocationBefore(above, invite, roster)
  }
  return []
}

/** Returns the first revocation of an invite that makes a grant void, with what it rests on. */
function revocationBefore({ hlc }: Statement, invite: Uint8Array, roster: Facts): Statement[] {
  const counts = (grant: Uint8Array | null): boolean => grant === null || roster.standingOf(grant) === 'effective'
  const revocation = roster.revocationsOf(invite).find(({ hlc: at, grant }) => at < hlc && counts(grant))
  if (revocation === undefined) return []
  return [...(revocation.grant === null ? [] : roster.supportOf(revocation.grant)), revocation]
}
