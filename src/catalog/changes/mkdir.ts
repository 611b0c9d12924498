import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import type { Change, Records } from '../change.ts'
import { NotADirectoryError } from '../errors.ts'
import type { DirectoryNode } from '../tree-node.ts'
import { attempt, type ChangeContext, findDirectory } from './context.ts'

/** Makes a directory and any missing directories above it, in one append. */
export async function mkdir(context: ChangeContext, path: Path, replicas: number): Promise<Change> {
  return attempt(context, async () => {
    const missing = await missingDirectories(context, path)
    if (missing.length === 0) return { path, statements: [] }
    const statements = await context.locks.paths(missing, async () => {
      const parent = await parentAt(context, path, missing, replicas)
      return parent === undefined ? undefined : context.append(parent.made)
    })
    return statements === undefined ? undefined : { path, statements }
  })
}

/** The directory that a change puts something into. */
export interface Parent {
  id: Uint8Array
  /** The directory as it is in the tree; undefined if it is one of those that this change makes. */
  node: DirectoryNode | undefined
  /** The records that make it. They must be appended together with those of the change, before them. */
  made: Records
}

/**
 * Returns the paths of the directories that are missing on the way to a path, from the highest down to the path itself.
 * Throws a `NotADirectoryError` if a file is in the way.
 */
export async function missingDirectories(context: ChangeContext, path: Path): Promise<Path[]> {
  const found = await context.tree.resolve(path)
  if (found?.kind === 'directory') return []
  if (found !== undefined) throw new NotADirectoryError('a file is where a directory should be')
  return [...(await missingDirectories(context, path.slice(0, -1))), path]
}

/**
 * Returns the directory at a path, for a change that puts something into it. The missing directories are signed but not
 * appended, so that they never become visible unless the change does. The caller must hold the locks of the missing
 * paths. Returns undefined if `missing` is out of date: another directory is missing too, or one of them has been made
 * meanwhile.
 */
export async function parentAt(
  context: ChangeContext,
  path: Path,
  missing: readonly Path[],
  replicas: number
): Promise<Parent | undefined> {
  const { tree, author, chance, clock } = context
  const [highest] = missing
  const base = await findDirectory(context, highest === undefined ? path : highest.slice(0, -1))
  if (base === undefined) return undefined
  const made: Records = []
  let id = base.ids[0] as Uint8Array
  if (highest !== undefined && (await tree.resolve(highest)) !== undefined) return undefined
  for (const directory of missing) {
    const below = chance.bytes(ENTRY_ID_BYTES)
    const at = { parent: id, name: directory.at(-1) as string }
    made.push(author.createDirectory(below, at, Math.floor(clock.now()), replicas))
    id = below
  }
  return { id, node: highest === undefined ? base : undefined, made }
}
