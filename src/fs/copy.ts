import { IsADirectoryError } from '../catalog/errors.ts'
import { cidOf } from '../catalog/projection.ts'
import type { FileNode, TreeNode } from '../catalog/tree.ts'
import { formatPath, type Path } from '../format/path.ts'
import { InvalidInputError } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import { TREE_AT_ONCE } from './constants.ts'
import { type FsContext, wantedCopies } from './context.ts'
import { readable } from './get.ts'
import { makeDirectory } from './mkdir.ts'
import { linkFile, openPut, resolvePutOptions } from './put.ts'
import { targetOf } from './target.ts'
import type { PutOptions } from './types.ts'

type CopyOptions = Pick<PutOptions, 'noClobber' | 'signal'>

/** Copies a file or a directory: the same blocks stand at another path too, kept as any put's are. */
export async function copyPath(
  fs: FsContext,
  from: Path,
  to: Path,
  options: CopyOptions = {}
): Promise<{ from: string; path: string }> {
  const { node, target } = await targetOf(fs, from, to)
  if (formatPath(target).startsWith(`${formatPath(node.path)}/`))
    throw new InvalidInputError('a directory cannot be copied into itself')
  await copyNode(fs, node, target, options)
  return { from: formatPath(from), path: formatPath(target) }
}

async function copyNode(fs: FsContext, node: TreeNode, target: Path, options: CopyOptions): Promise<void> {
  options.signal?.throwIfAborted()
  if (node.kind === 'file') {
    await copyFile(fs, node, target, options)
    return
  }
  await makeDirectory(fs, target)
  const slots = new Limiter(TREE_AT_ONCE)
  const copies: Array<Promise<void>> = []
  for await (const child of fs.tree.list(node)) {
    const name = child.path.at(-1) as string
    if (child.kind === 'directory') await copyNode(fs, child, [...target, name], options)
    else copies.push(slots.run(() => copyFile(fs, child, [...target, name], options)))
  }
  await Promise.all(copies)
}

async function copyFile(fs: FsContext, node: FileNode, target: Path, options: CopyOptions): Promise<void> {
  const there = await fs.tree.resolve(target)
  if (there?.kind === 'directory') throw new IsADirectoryError('a directory has this name already')
  const { size, mtime, mode, type, key, content } = readable(node)
  const root = cidOf(node.record)
  const facts = { size, mtime, mode, type, key, content }
  const named = { root: node.record.root as Uint8Array, rootEpoch: node.record.rootEpoch as Uint8Array }
  const resolved = { ...resolvePutOptions(fs, options), copies: wantedCopies(node.shown.replicas) }
  const put = openPut(fs, resolved, root === undefined)
  try {
    if (root !== undefined) {
      await put.keepHeld(root, async cid => (await fs.blocks.read(cid, { signal: options.signal })).bytes)
      await put.keepRoot(root)
    }
    await linkFile(fs, put, target, { ...named, ...facts }, root ?? null, resolved)
  } finally {
    put.close()
  }
}
