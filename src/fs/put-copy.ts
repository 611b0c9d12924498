import { PULLED_BYTES_MIN } from '../blocks/constants.ts'
import type { Content } from '../catalog/author.ts'
import { type BlockCid, isNode } from '../format/cid.ts'
import type { Path } from '../format/path.ts'
import { sealedChunkLength } from '../format/seal-file.ts'
import type { FsContext, ResolvedPutOptions } from './context.ts'
import type { LinkTo, SealedFile } from './small-file.ts'
import type { PutResult } from './types.ts'
import { Upload } from './upload.ts'

export interface PutCopyInit {
  path: Path
  content: Content
  /** The root of the blocks; undefined for a file that has none. */
  root: BlockCid | undefined
  /** Links the content elsewhere than at the path. */
  linkTo?: LinkTo | undefined
}

/**
 * Makes stored content visible at a path: links the same blocks once more, and keeps them as a put keeps its blocks. Small
 * files go through each step together with others, as when they are put.
 */
export async function putCopy(
  fs: FsContext,
  { path, content, root, linkTo }: PutCopyInit,
  resolved: ResolvedPutOptions
): Promise<PutResult> {
  const putSmall = (blockBytes: number, sealed: SealedFile): Promise<PutResult> =>
    fs.putSmall({ path, blockBytes, seal: () => sealed, linkTo }, resolved)
  if (root === undefined) return putSmall(0, { content })
  // A larger block does not travel with the request to keep it, since most members have it.
  if (!isNode(root) && sealedChunkLength(content.size) < PULLED_BYTES_MIN) {
    const read = await fs.blocks.read(root, { signal: resolved.signal })
    // Others may be reading the same buffer.
    const bytes = new Uint8Array(read.bytes)
    return putSmall(bytes.byteLength, { content, block: { cid: root, bytes } })
  }
  const upload = new Upload(fs, resolved, { linkTo })
  try {
    return await upload.commitRoot(path, content, root)
  } finally {
    upload.close()
  }
}
