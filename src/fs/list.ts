import { cidOf } from '../catalog/projection.ts'
import type { DirectoryNode, FileNode, ListedNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { FsContext } from './context.ts'
import { resolvePath } from './resolve.ts'
import type { ListItem, ListOptions } from './types.ts'

/**
 * Lists the entries of a directory in the order of their names' bytes. With `recursive`, the entries of each directory
 * follow it. A file lists itself. It takes a bounded amount of memory, however many entries there are.
 */
export async function* listPath(fs: FsContext, path: Path, options: ListOptions = {}): AsyncGenerator<ListItem> {
  const node = await resolvePath(fs, path, options.signal)
  const withHere = async (listed: ListedNode): Promise<ListItem> =>
    options.here === true && listed.kind === 'file'
      ? { ...toItem(listed), here: await isHere(fs, listed) }
      : toItem(listed)
  if (node.kind === 'file') yield withHere(node)
  else for await (const child of nodesBelow(fs, node, options)) yield withHere(child)
}

/** Yields the nodes below a directory, in the order in which `listPath` yields its items. */
export async function* nodesBelow(
  fs: Pick<FsContext, 'tree'>,
  node: DirectoryNode,
  { recursive = false, signal }: ListOptions
): AsyncGenerator<ListedNode> {
  // The open listings of the directories on the way down. This list is used because, with nested generators, every item
  // would pass through one for each level above it.
  const way = [fs.tree.list(node, { signal })]
  try {
    for (let listing = way.at(-1); listing !== undefined; listing = way.at(-1)) {
      signal?.throwIfAborted()
      const { done, value: child } = await listing.next()
      if (done === true) {
        way.pop()
        continue
      }
      yield child
      if (recursive && child.kind === 'directory') way.push(fs.tree.list(child, { signal, open: way.length }))
    }
  } finally {
    for (const listing of way) await listing.return(undefined)
  }
}

async function isHere(fs: FsContext, { record, body }: FileNode): Promise<boolean> {
  const root = cidOf(record)
  return root === undefined ? body !== undefined : fs.blocks.isWholeHere(root)
}

/** Returns what a listing says about a node. */
export function toItem(node: ListedNode): ListItem {
  const isFile = node.kind === 'file'
  return {
    path: formatPath(node.path),
    kind: node.kind,
    size: isFile ? (node.body?.size ?? 0) : 0,
    modified: new Date(isFile ? (node.body?.mtime ?? 0) : node.mtime),
    mode: isFile ? node.body?.mode : undefined,
    conflict: node.isConflict
  }
}
