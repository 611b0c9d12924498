import { cidOf } from '../catalog/projection.ts'
import type { FileNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { FsContext } from './context.ts'
import { nodesBelow } from './list.ts'
import { listDeleted } from './list-deleted.ts'
import { resolvePath } from './resolve.ts'
import type { Usage } from './space-types.ts'
import type { AbortOptions } from './types.ts'
import { versionsOf } from './versions.ts'

/** Adds up what a file, or everything below a directory, takes up. */
export async function usageOf(fs: FsContext, path: Path, options: AbortOptions = {}): Promise<Usage> {
  const node = await resolvePath(fs, path, options.signal)
  const usage = { path: formatPath(node.path), files: 0, size: 0, here: 0, versions: 0 }
  if (node.kind === 'file') {
    await addFile(fs, node, usage, options)
    return usage
  }
  const below = { recursive: true, ...options }
  for await (const child of nodesBelow(fs, node, below))
    if (child.kind === 'file') await addFile(fs, child, usage, options)
  for await (const { kind, size } of listDeleted(fs, path, below)) if (kind === 'file') usage.versions += size
  return usage
}

async function addFile(fs: FsContext, node: FileNode, usage: Usage, options: AbortOptions): Promise<void> {
  const root = cidOf(node.record)
  usage.files++
  usage.size += node.body?.size ?? 0
  if (root !== undefined) usage.here += await fs.blocks.bytesHere(root)
  for await (const { size, current, conflict } of versionsOf(fs, node.path, options))
    if (!current && !conflict) usage.versions += size
}
