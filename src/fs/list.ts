import { NotFoundError } from '../catalog/errors.ts'
import type { TreeNode } from '../catalog/tree.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { FsContext } from './context.ts'
import type { ListItem } from './types.ts'

/** What a directory shows, in the order of the names' bytes; with `recursive` each directory is followed by its own. */
export async function* listPath(
  fs: FsContext,
  path: Path,
  options: { recursive?: boolean | undefined; signal?: AbortSignal | undefined } = {}
): AsyncGenerator<ListItem> {
  const node = await fs.tree.resolve(path)
  if (node === undefined) throw new NotFoundError('nothing is at this path')
  if (node.kind === 'file') {
    yield toItem(node)
    return
  }
  for await (const child of fs.tree.list(node)) {
    options.signal?.throwIfAborted()
    yield toItem(child)
    if (options.recursive === true && child.kind === 'directory') yield* listPath(fs, child.path, options)
  }
}

export function toItem(node: TreeNode): ListItem {
  const isFile = node.kind === 'file'
  return {
    path: formatPath(node.path),
    kind: node.kind,
    size: isFile ? (node.body?.size ?? 0) : 0,
    modified: new Date(isFile ? (node.body?.mtime ?? 0) : node.mtime),
    conflict: node.isConflict
  }
}
