import { type PeerId, publicKeyOf } from '../../format/peer-id.ts'
import { equalBytes } from '../../util/bytes.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { isWriter } from '../authority.ts'
import { chainIn, endOf, isOver } from '../grant-chain.ts'
import { checkSupport } from '../proof.ts'

/**
 * Returns true if these statements, the grant last, make a device a member of this network. It checks
 * everything as for a proof from a stranger, because a newcomer cannot trust the peer that answers it.
 */
export async function isMembership(
  statements: readonly Uint8Array[],
  network: Uint8Array,
  { publicKey, x25519, log }: { publicKey: Uint8Array; x25519: Uint8Array; log: Logger }
): Promise<boolean> {
  try {
    const grant = (await checkSupport(statements, network, publicKey)).at(-1)
    return grant?.kind === 'grant' && equalBytes(grant.fields.x25519, x25519)
  } catch (error) {
    log('the statements that were to make this device a member are not valid: %s', reasonOf(error))
    return false
  }
}

/**
 * Returns true if these statements, the grant last, show that a peer, whose id the connection has proven, is a member of
 * this network and may let machines in.
 */
export async function isAdmitter(
  statements: readonly Uint8Array[],
  network: Uint8Array,
  { peer, nowMs, log }: { peer: PeerId; nowMs: number; log: Logger }
): Promise<boolean> {
  try {
    const support = await checkSupport(statements, network, publicKeyOf(peer))
    const chain = chainIn(support)
    const role = chain.at(-1)?.fields.role
    return role !== undefined && isWriter(role) && !isOver(endOf(chain), nowMs)
  } catch (error) {
    log('%s does not show that it is a member: %s', peer, reasonOf(error))
    return false
  }
}
