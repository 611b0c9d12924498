import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import type { PutId } from '../hold/claims.ts'
import { nameOf, nameOfId } from '../log-names.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { ReplicaCounts } from './counts.ts'

/** A file that a put has kept. The put hands this object over, and no longer uses the counts itself. */
export interface KeptFile {
  root: BlockCid
  /** The number that identifies the put to the keepers. */
  putNumber: Uint8Array
  /** The id under which the put claims the file's blocks on this disk. */
  putId: PutId
  /** The chunks that each member is counted on for. The receiver of this object owns the counts. */
  counts: ReplicaCounts
  /** Returns true for a member that recently failed this put, or that recently misbehaved. */
  isAvoided: (peer: PeerId) => boolean
}

export interface ConfirmDeps {
  storeClient: Pick<StoreClient, 'keepRoot'>
  log: Logger
}

/**
 * Asks a member to confirm that it holds every chunk that the put counts on it for. The member pulls the chunks that it
 * lacks. The put stops counting on it for chunks that it still lacks; a member that fails is dropped from the counts.
 */
export async function confirmCounted(
  peer: PeerId,
  { root, putNumber, counts }: Pick<KeptFile, 'root' | 'putNumber' | 'counts'>,
  { storeClient, log }: ConfirmDeps
): Promise<void> {
  const chunks = counts.chunksOf(peer)
  if (chunks === undefined) return
  const put = nameOfId(putNumber)
  const total = chunks.size
  try {
    const lacking = await storeClient.keepRoot(peer, putNumber, root, chunks)
    if (lacking.size === 0) return log('put %s: %s confirms root %s, chunks: %d', put, peer, nameOf(root), total)
    log('put %s: %s lacks %d of the %d chunks that it kept', put, peer, lacking.and(chunks).size, total)
    counts.discount(peer, lacking)
    // A keeper remembers the chunks of the last request. Send it a new one, so that it does not vouch for chunks that
    // no longer count.
    await storeClient.keepRoot(peer, putNumber, root, chunks)
  } catch (error) {
    log('put %s: %s did not confirm root %s: %s', put, peer, nameOf(root), reasonOf(error))
    counts.drop(peer)
  }
}
