import { SUPPORT_STATEMENTS_MAX } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { idOf, type Statement } from '../../format/statement.ts'
import { byteLengthOf, fromHex, toHex } from '../../util/bytes.ts'
import type { Authority } from '../authority.ts'
import { JOIN_BYTES_MAX } from '../constants.ts'

/**
 * Returns the statements from which a device whose grant is void can see that for itself: those who used its invite
 * before it, and the revocations of its invite, each after everything that it rests on. Empty if the device never had a
 * grant, or if they do not fit into one message.
 */
export function evidenceAgainst(
  peer: PeerId,
  roster: Pick<Authority, 'grantsOf' | 'supportOf' | 'members' | 'revocationsOf'>
): Uint8Array[] {
  const found = new Map<string, Uint8Array>()
  const add = (...statements: ReadonlyArray<Statement>): void => {
    for (const statement of statements) found.set(idOf(statement), statement.bytes)
  }
  const invites = new Map<string, Uint8Array>()
  for (const { id } of roster.grantsOf(peer))
    for (const above of roster.supportOf(id)) {
      const invite = inviteOf(above)
      if (invite !== undefined) invites.set(toHex(invite), invite)
    }
  if (invites.size === 0) return []
  for (const { grantId } of roster.members) {
    const support = roster.supportOf(fromHex(grantId))
    const invite = inviteOf(support.at(-1))
    if (invite !== undefined && invites.has(toHex(invite))) add(...support)
  }
  for (const invite of invites.values())
    for (const revocation of roster.revocationsOf(invite)) {
      if (revocation.grant !== null) add(...roster.supportOf(revocation.grant))
      add(revocation)
    }
  const statements = [...found.values()]
  return statements.length <= SUPPORT_STATEMENTS_MAX && byteLengthOf(statements) <= JOIN_BYTES_MAX ? statements : []
}

function inviteOf(statement: Statement<'grant'> | Statement<'invite'> | undefined): Uint8Array | undefined {
  return statement?.kind === 'grant' ? statement.fields.admit?.invite : undefined
}
