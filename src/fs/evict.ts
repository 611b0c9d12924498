import { cidOf } from '../catalog/projection.ts'
import type { TreeNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import { peerIdOf } from '../format/peer-id.ts'
import { decodeReplicas } from '../format/replicas.ts'
import type { FsContext } from './context.ts'
import { partlyDone } from './partly-done.ts'
import { resolvePath } from './resolve.ts'
import type { EvictResult } from './types.ts'

/**
 * Frees this member's copies of a file, or of all files below a directory. It frees a block only if enough other
 * members prove that they hold it. After an abort or a failure, blocks that have been freed stay freed. If there are
 * any, a failure throws a `PartlyDoneError`.
 */
export async function evictPath(fs: FsContext, path: Path, signal?: AbortSignal): Promise<EvictResult> {
  const node = await resolvePath(fs, path, signal)
  const result = { path: formatPath(node.path), freed: { blocks: 0, bytes: 0 }, left: { blocks: 0, bytes: 0 } }
  try {
    await evictNode(fs, node, result, signal)
  } catch (error) {
    const { blocks } = result.freed
    throw partlyDone(error, blocks, `${blocks} blocks have been freed`)
  }
  return result
}

/** Adds the blocks that it frees, and the blocks that it leaves, to `result`. */
async function evictNode(fs: FsContext, node: TreeNode, result: EvictResult, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  if (node.kind === 'directory') {
    for await (const child of fs.tree.list(node)) await evictNode(fs, child, result, signal)
    return
  }
  const root = cidOf(node.record)
  if (root === undefined) return
  const { id, stamp } = node.record
  const replicas = decodeReplicas(node.shown.replicas)
  await fs.blocks.freeing.evict({ id, root, replicas, author: peerIdOf(stamp.author) }, signal, result)
}
