import type { BlockCid } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import { forEachUntilFailure } from '../../util/for-each.ts'
import { PUT_CLAIM_MS, WALK_PULLS } from '../constants.ts'
import type { Claims, PutId } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { walkManifest } from '../manifest-walk.ts'

export interface OwnCopyDeps {
  codec: NodeCodec
  local: Pick<LocalBlocks, 'claimIfHere' | 'keep'>
  claims: Pick<Claims, 'claimForPut'>
  /** Returns a block's verified bytes, from this disk or another member. */
  read: (cid: BlockCid) => Promise<Uint8Array>
}

/**
 * Makes this member's own copy of a put whole again: blocks that have gone or are damaged come back from the members
 * that keep them. Throws what `read` and the disk throw.
 */
export async function restoreOwnCopy(root: BlockCid, put: PutId, deps: OwnCopyDeps): Promise<void> {
  const { codec, local, claims, read } = deps
  await forEachUntilFailure(walkManifest(root, read, codec), { atOnce: WALK_PULLS }, async ({ cid }) => {
    const claim = (): Promise<void> => claims.claimForPut(put, [cid.multihash.bytes], PUT_CLAIM_MS)
    if (!(await local.claimIfHere(cid, claim))) await local.keep(cid, await read(cid), claim)
  })
}
