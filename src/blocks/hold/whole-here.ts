import type { BlockCid } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import { isOutOfReach } from '../errors.ts'
import { walkManifest } from '../manifest-walk.ts'
import type { LocalBlocks } from './local-blocks.ts'

/** Returns true if every block of a file is on this disk. It stops at the first that is not, and asks nobody. */
export async function isWholeHere(
  root: BlockCid,
  { local, codec }: { local: Pick<LocalBlocks, 'has' | 'getOrThrow'>; codec: NodeCodec }
): Promise<boolean> {
  try {
    for await (const { cid } of walkManifest(root, node => local.getOrThrow(node), codec))
      if (!(await local.has(cid))) return false
    return true
  } catch (error) {
    if (isOutOfReach(error)) return false
    throw error
  }
}
