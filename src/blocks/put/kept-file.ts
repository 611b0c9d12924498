import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import type { PutId } from '../hold/claims.ts'
import { nameOf, nameOfId } from '../log-names.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { ReplicaCounts } from './counts.ts'

/** A file that a put has kept, as the put hands it over. The put itself does not use the counts any more. */
export interface KeptFile {
  root: BlockCid
  /** Names the put to the keepers. */
  putNumber: Uint8Array
  /** The put claims the file's blocks on this disk under it. */
  putId: PutId
  /** Which chunks are counted on which member. The receiver of this object owns them. */
  counts: ReplicaCounts
  /** True for a member that failed the put lately, or did something wrong before. */
  isAvoided: (peer: PeerId) => boolean
}

export interface ConfirmDeps {
  storeClient: Pick<StoreClient, 'keepRoot'>
  log: Logger
}

/**
 * Has a member confirm the chunks that are counted on it. It pulls those that it lacks. Chunks that it still lacks are
 * not counted on it any more; a member that fails is dropped from the counts.
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
    // A keeper remembers the chunks of the last request. It must not answer for those that no longer count.
    await storeClient.keepRoot(peer, putNumber, root, chunks)
  } catch (error) {
    log('put %s: %s did not confirm root %s: %s', put, peer, nameOf(root), reasonOf(error))
    counts.drop(peer)
  }
}
