import type { PeerId } from '../../format/peer-id.ts'
import { decodeAnyStatement } from '../../format/statement.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { RefusedError } from '../../wire/errors.ts'
import type { JoinClient } from '../join-client.ts'

export interface ShowProofOptions {
  client: Pick<JoinClient, 'prove' | 'evidence'>
  log: Logger
  /** Checks statements and adds them to our log. */
  learn?: ((statements: readonly Uint8Array[], peer: PeerId) => Promise<unknown>) | undefined
}

/**
 * Shows our grants to a peer. If it refuses them, our grant may have become void while we were away: then the peer is
 * asked for the statements that say so. It is a stranger to us, so only signatures count.
 */
export async function showProof(
  peer: PeerId,
  options: ShowProofOptions,
  signal: AbortSignal
): ReturnType<JoinClient['prove']> {
  try {
    return await options.client.prove(peer, signal)
  } catch (error) {
    if (error instanceof RefusedError && error.status === 'forbidden') await learnWhy(peer, options, signal)
    throw error
  }
}

async function learnWhy(peer: PeerId, { client, learn, log }: ShowProofOptions, signal: AbortSignal): Promise<void> {
  try {
    const evidence = (await client.evidence(peer, signal)).filter(isAboutMembers)
    if (evidence.length > 0) await learn?.(evidence, peer)
  } catch (error) {
    log('%s did not say why it refuses our grant: %s', peer, reasonOf(error))
  }
}

function isAboutMembers(bytes: Uint8Array): boolean {
  const { kind } = decodeAnyStatement(bytes)
  return kind === 'grant' || kind === 'invite' || kind === 'revocation'
}
