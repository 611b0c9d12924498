import type { BlockCid } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import { forEachUntilFailure } from '../../util/for-each.ts'
import { PUT_CLAIM_MS, WALK_PULLS } from '../constants.ts'
import type { BlockPuller } from '../fetch/puller.ts'
import type { PutId } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { type ReadNode, walkManifest } from '../manifest-walk.ts'

export interface OwnCopyDeps {
  codec: NodeCodec
  local: Pick<LocalBlocks, 'claimIfHere'>
  puller: Pick<BlockPuller, 'pull'>
  readNode: ReadNode
}

/**
 * Makes this member's own copy of a put whole again: blocks that are missing or damaged are fetched from the members
 * that keep them. Throws what `readNode` and `pull` throw.
 */
export async function restoreOwnCopy(root: BlockCid, put: PutId, deps: OwnCopyDeps): Promise<void> {
  const { codec, local, puller, readNode } = deps
  const claim = { put, claimMs: PUT_CLAIM_MS }
  await forEachUntilFailure(walkManifest(root, readNode, codec), { atOnce: WALK_PULLS }, async ({ cid }, signal) => {
    if (!(await local.claimIfHere(cid, claim))) await puller.pull(cid, { claim, signal })
  })
}
