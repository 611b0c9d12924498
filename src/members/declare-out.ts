import { type PeerId, publicKeyOf } from '../format/peer-id.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { Authority } from './authority.ts'
import { UnknownMemberError } from './errors.ts'
import type { GrantSigner } from './joining/grant-signer.ts'
import type { Statuses } from './statuses.ts'
import type { DeclaredOut } from './types.ts'

export interface DeclareOutOptions {
  self: PeerId
  roster: Pick<Authority, 'member'>
  statuses: Pick<Statuses, 'view' | 'isSaidOut' | 'stampsAbout'>
  signer: Pick<GrantSigner, 'assertAdmin' | 'sign' | 'keep'>
  isAdmitted: (peer: PeerId) => boolean
}

/**
 * Signs an admin's word that a member is out, so that the others take over its part at once. The member counts again
 * with its next status. Resolves once the statement is durable here. If the member is out already, changes nothing and
 * returns `already`. Throws an `UnknownMemberError`, an `InvalidInputError` for this member, a `NotAllowedError` or a
 * `ClockOffError`.
 */
export async function declareOut(peer: PeerId, options: DeclareOutOptions): Promise<DeclaredOut> {
  const { self, roster, statuses, signer, isAdmitted } = options
  signer.assertAdmin('declares members out')
  const member = roster.member(peer)
  if (member === undefined) throw new UnknownMemberError('no such member is known')
  if (peer === self)
    throw new InvalidInputError(
      "this machine runs, so it is not out: to take it away, stop it and run this on another admin's machine"
    )
  const { name, role } = member
  const declared = { peerId: peer, name, role, connected: isAdmitted(peer) }
  const isOut = statuses.view.members.some(shown => shown.peer === peer && shown.isOut)
  if (isOut || statuses.isSaidOut(peer)) return { ...declared, already: true }
  await signer.keep([signer.sign('out', { subject: publicKeyOf(peer) }, ...statuses.stampsAbout(peer))])
  return declared
}
