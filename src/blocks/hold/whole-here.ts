import { type BlockCid, blockKey } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import { toHex } from '../../util/bytes.ts'
import { REPEATS_MAX } from '../constants.ts'
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

/** Returns the bytes of those blocks of a file that are on this disk. It asks nobody. */
export async function bytesHere(
  root: BlockCid,
  { local, codec }: { local: Pick<LocalBlocks, 'sizeOf' | 'getOrThrow'>; codec: NodeCodec }
): Promise<number> {
  let bytes = 0
  const readNode = (node: BlockCid): Promise<Uint8Array> => local.getOrThrow(node)
  const onSkip = (error: unknown): void => {
    if (!isOutOfReach(error)) throw error
  }
  const seen = new Set<string>()
  for await (const { cid, parent } of walkManifest(root, readNode, codec, { isOnce: true, onSkip })) {
    // Only repeats below one node are noticed, so that the memory does not grow with the file.
    const key = `${parent === null ? '' : toHex(parent)} ${blockKey(cid)}`
    if (seen.size >= REPEATS_MAX) seen.clear()
    if (!seen.has(key)) bytes += await local.sizeOf(cid)
    seen.add(key)
  }
  return bytes
}
