import { ExistsError, NotFoundError } from '../catalog/errors.ts'
import type { TreeNode } from '../catalog/tree-node.ts'
import type { Path } from '../format/path.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { FsContext } from './context.ts'

const NOTHING = 'nothing is at this path'
const NOTHING_YET = `${NOTHING} yet: changes are still arriving (see dfs status)`

/**
 * Returns the node at a path. Throws a `NotFoundError` if there is none, a `NotAllowedError` if this member can read no
 * names, and the signal's reason if it has fired.
 */
export async function resolvePath(
  { tree, members, sync }: Pick<FsContext, 'tree' | 'members' | 'sync'>,
  path: Path,
  signal?: AbortSignal
): Promise<TreeNode> {
  signal?.throwIfAborted()
  members.standing.assertReads()
  const node = await tree.resolve(path)
  signal?.throwIfAborted()
  if (node === undefined) throw new NotFoundError(sync.catchingUpWith.length > 0 ? NOTHING_YET : NOTHING)
  return node
}

/** Returns true if a file or directory is at a path. Throws as `resolvePath` does for other reasons. */
export async function isThere(
  { tree, members }: Pick<FsContext, 'tree' | 'members'>,
  path: Path,
  signal: AbortSignal | undefined
): Promise<boolean> {
  signal?.throwIfAborted()
  members.standing.assertReads()
  const node = await tree.resolve(path)
  signal?.throwIfAborted()
  return node !== undefined
}

/**
 * Returns the node to move or copy, and its new path. As in a shell, if there is a directory at `to`, the new path is
 * inside it.
 */
export async function resolveTarget(
  fs: Pick<FsContext, 'tree' | 'members' | 'sync'>,
  from: Path,
  to: Path,
  signal?: AbortSignal
): Promise<{ node: TreeNode; target: Path }> {
  const node = await resolvePath(fs, from, signal)
  const name = from.at(-1)
  if (name === undefined) throw new InvalidInputError('the root directory cannot be moved or copied')
  const there = await fs.tree.resolve(to)
  if (there?.kind !== 'directory') return { node, target: to }
  const target = [...there.path, name]
  const inside = await fs.tree.resolve(target)
  if (inside?.kind === 'directory' && node.kind === 'file') throw new ExistsError('a directory has this name already')
  return { node, target }
}
