import { ExistsError, NotFoundError } from '../catalog/errors.ts'
import type { TreeNode } from '../catalog/tree.ts'
import type { Path } from '../format/path.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { FsContext } from './context.ts'

/** Where something goes that is moved or copied to a path: into it, if that is a directory, as in a shell. */
export async function targetOf(fs: FsContext, from: Path, to: Path): Promise<{ node: TreeNode; target: Path }> {
  const node = await fs.tree.resolve(from)
  if (node === undefined) throw new NotFoundError('nothing is at this path')
  const name = from.at(-1)
  if (name === undefined) throw new InvalidInputError('the root directory cannot be moved or copied')
  const there = await fs.tree.resolve(to)
  if (there?.kind !== 'directory') return { node, target: to }
  const target = [...there.path, name]
  const inside = await fs.tree.resolve(target)
  if (inside?.kind === 'directory' && node.kind === 'file') throw new ExistsError('a directory has this name already')
  return { node, target }
}
