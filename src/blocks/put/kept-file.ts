import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { shortHex } from '../../util/bytes.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import type { PutId } from '../hold/claims.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { ReplicaCounts } from './counts.ts'

/** What a put hands over once it has kept a file. The put itself does not use the counts any more. */
export interface KeptFile {
  root: BlockCid
  /** Names the put to the keepers. */
  putNumber: Uint8Array
  /** The put claims the file's blocks on this disk under it. */
  putId: PutId
  /** Which chunks are counted on which member. They belong to whoever was handed this. */
  counts: ReplicaCounts
  /** True of members that failed the put lately, or did something wrong before. */
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
  const put = shortHex(putNumber)
  const total = chunks.size
  try {
    const lacking = await storeClient.keepRoot(peer, putNumber, root, chunks)
    if (lacking.size === 0) return log('put %s: %s confirmed the root and %d chunks', put, peer, total)
    log('put %s: %s lacks %d of %d chunks', put, peer, lacking.and(chunks).size, total)
    counts.discount(peer, lacking)
    // A keeper remembers the chunks of the last request. It must not answer for those that no longer count.
    await storeClient.keepRoot(peer, putNumber, root, chunks)
  } catch (error) {
    log('put %s: %s did not confirm the root: %s', put, peer, reasonOf(error))
    counts.drop(peer)
  }
}
