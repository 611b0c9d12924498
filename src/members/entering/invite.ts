import { FormatError, InviteAlteredError } from '../../format/errors.ts'
import { decodeInviteToken, inviteOf } from '../../format/invite-token.ts'
import { privateKey } from '../../format/network-key.ts'
import { decodeHlc, hlcMs } from '../../format/stamp.ts'
import { toHex } from '../../util/bytes.ts'
import { peerInAddress } from '../../wire/addresses.ts'
import { checkStatements } from '../proof.ts'
import type { CheckedInvite, Target } from './newcomer-options.ts'

/** An invite that this machine may show, with its network and the addresses at which members answered. */
export interface ReadInvite extends CheckedInvite {
  network: Uint8Array
  targets: Target[]
}

/**
 * Reads the token of an invite, and verifies what it rests on before anybody is asked. Throws what `decodeInviteToken`
 * throws, and an `InviteAlteredError` for statements that are not valid.
 */
export async function readInvite(text: string): Promise<ReadInvite> {
  const token = decodeInviteToken(text)
  const invite = inviteOf(token)
  await checkStatements(token.statements, token.network).catch(cause => {
    throw new InviteAlteredError({ cause })
  })
  return {
    id: invite.id,
    key: privateKey('ed25519', token.seed),
    notAfterMs: hlcMs(decodeHlc(invite.fields.notAfter)),
    statements: token.statements,
    network: token.network,
    targets: token.addresses.map(address => {
      const peer = peerInAddress(address)
      return { addresses: [address], peer, isVouched: peer !== undefined }
    })
  }
}

/**
 * Returns what the token of an invite says, with its id in hex; undefined if the text is not the token of an invite, or
 * was altered.
 */
export function inviteFactsIn(text: string): { id: string; addresses: string[] } | undefined {
  try {
    const token = decodeInviteToken(text)
    return { id: toHex(inviteOf(token).id), addresses: token.addresses }
  } catch (error) {
    if (error instanceof FormatError || error instanceof InviteAlteredError) return undefined
    throw error
  }
}
