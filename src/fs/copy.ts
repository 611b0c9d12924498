import { IsADirectoryError } from '../catalog/errors.ts'
import { cidOf } from '../catalog/projection.ts'
import type { DirectoryNode, FileNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import { decodeReplicas } from '../format/replicas.ts'
import { InvalidInputError } from '../util/errors.ts'
import { forEachUntilFailure } from '../util/for-each.ts'
import { TREE_AT_ONCE } from './constants.ts'
import type { FsContext } from './context.ts'
import { readableBody } from './get.ts'
import { makeDirectory } from './mkdir.ts'
import { partlyDone } from './partly-done.ts'
import { linkAndReplicate, openPut, resolvePutOptions } from './put.ts'
import { resolveTarget } from './resolve.ts'
import type { PutOptions } from './types.ts'

type CopyOptions = Pick<PutOptions, 'noClobber' | 'signal'>

interface FileToCopy {
  file: FileNode
  target: Path
}

/**
 * Copies a file or a directory: links the same blocks at another path, and keeps them as a put keeps its blocks. Files
 * that were copied before a failure or an abort stay. If there are any, a failure throws a `PartlyDoneError`.
 */
export async function copyPath(
  fs: FsContext,
  from: Path,
  to: Path,
  options: CopyOptions = {}
): Promise<{ from: string; path: string }> {
  const { signal } = options
  const { node, target } = await resolveTarget(fs, from, to, signal)
  if (formatPath(target).startsWith(`${formatPath(node.path)}/`))
    throw new InvalidInputError('a directory cannot be copied into itself')
  signal?.throwIfAborted()
  if (node.kind === 'file') await copyFile(fs, { file: node, target }, options)
  else {
    let copied = 0
    const countOne = (): void => {
      copied++
    }
    const files = filesToCopy(fs, node, target, { signal, onMade: countOne })
    const copy = (file: FileToCopy): Promise<void> => copyFile(fs, file, options).then(countOne)
    await forEachUntilFailure(files, { atOnce: TREE_AT_ONCE, signal }, copy).catch(error => {
      throw partlyDone(error, copied, `${copied} of its files and directories have been copied, and stay`)
    })
  }
  return { from: formatPath(from), path: formatPath(target) }
}

interface FilesToCopyOptions {
  signal: AbortSignal | undefined
  /** Called for each directory that the copy now has. */
  onMade: () => void
}

/** Makes the directories of the copy, and yields the files to put into each. */
async function* filesToCopy(
  fs: FsContext,
  directory: DirectoryNode,
  target: Path,
  options: FilesToCopyOptions
): AsyncGenerator<FileToCopy> {
  const { signal, onMade } = options
  await makeDirectory(fs, target, { signal })
  onMade()
  for await (const child of fs.tree.list(directory)) {
    signal?.throwIfAborted()
    const below = [...target, child.path.at(-1) as string]
    if (child.kind === 'directory') yield* filesToCopy(fs, child, below, options)
    else yield { file: child, target: below }
  }
}

async function copyFile(fs: FsContext, { file, target }: FileToCopy, options: CopyOptions): Promise<void> {
  const there = await fs.tree.resolve(target)
  if (there?.kind === 'directory') throw new IsADirectoryError('a directory has this name already')
  const { size, mtime, mode, type, key, content } = readableBody(file)
  const named = { root: file.record.root as Uint8Array, rootEpoch: file.record.rootEpoch as Uint8Array }
  const copied = { ...named, size, mtime, mode, type, key, content }
  const resolved = { ...resolvePutOptions(fs, options), copies: decodeReplicas(file.shown.replicas) }
  const root = cidOf(file.record)
  if (root === undefined) {
    await linkAndReplicate(fs, { path: target, content: copied, kept: null, resolved })
    return
  }
  const put = openPut(fs, resolved, false)
  try {
    await put.keepStored(root, async cid => (await fs.blocks.read(cid, { signal: options.signal })).bytes)
    const kept = await put.keepRoot(root)
    await linkAndReplicate(fs, { path: target, content: copied, kept, resolved })
  } finally {
    put.close()
  }
}
