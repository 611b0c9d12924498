import type { DirectoryNode, ListedNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { FsContext } from './context.ts'
import { resolvePath } from './resolve.ts'
import type { AbortOptions, ListItem } from './types.ts'

export interface ListOptions extends AbortOptions {
  recursive?: boolean | undefined
}

/**
 * Lists the entries of a directory in the order of their names' bytes. With `recursive`, the entries of each directory
 * follow it. A file lists itself. It takes a bounded amount of memory, however many entries there are.
 */
export async function* listPath(fs: FsContext, path: Path, options: ListOptions = {}): AsyncGenerator<ListItem> {
  const node = await resolvePath(fs, path, options.signal)
  if (node.kind === 'file') yield toItem(node)
  else yield* listDirectory(fs, node, options)
}

async function* listDirectory(fs: FsContext, node: DirectoryNode, options: ListOptions): AsyncGenerator<ListItem> {
  const { recursive = false, signal } = options
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
      yield toItem(child)
      if (recursive && child.kind === 'directory') way.push(fs.tree.list(child, { signal, open: way.length }))
    }
  } finally {
    for (const listing of way) await listing.return(undefined)
  }
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
