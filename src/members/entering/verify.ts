import { equalBytes } from '../../util/bytes.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { checkSupport } from '../proof.ts'

/**
 * Returns true if these statements, the grant last, make a device a member of this network. Everything is checked as if
 * a stranger had shown it as a proof: a newcomer believes nobody.
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
