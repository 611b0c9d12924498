import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import type { Content } from '../author.ts'
import type { RecordChange, Records } from '../change.ts'
import { IsADirectoryError } from '../errors.ts'
import type { FileNode } from '../tree-node.ts'
import { checkTarget, type TargetOptions } from './checks.ts'
import { attempt, type ChangeContext, findDirectory, placementIn } from './context.ts'
import { ensureDirectory } from './mkdir.ts'
import { rewrite } from './rewrite.ts'

export interface LinkOptions extends TargetOptions {
  /** The number of copies wanted; `REPLICAS_ALL` for every member. */
  replicas: number
}

/** Throws the error that `link` would throw now. Call it before anything is stored for the link. */
export async function checkLink({ tree }: ChangeContext, path: Path, options: TargetOptions): Promise<void> {
  refuseRoot(path)
  checkTarget(await tree.resolve(path), options)
}

/** Links content to a path. The content becomes that of the file at the path, or of a new file if there is none. */
export async function link(
  context: ChangeContext,
  path: Path,
  content: Content,
  options: LinkOptions
): Promise<RecordChange> {
  refuseRoot(path)
  const made: Records = []
  return attempt(context, async () => {
    const records = await context.locks.paths([path], () => linkLocked(context, path, content, options))
    if (records !== undefined)
      return { path, record: records.at(-1) as Records[number], statements: [...made, ...records] }
    // Most files are put into directories that exist, so directories are made only when one turns out to be missing.
    made.push(...(await ensureDirectory(context, path.slice(0, -1), options.replicas)))
    return undefined
  })
}

/** Returns undefined if the directory is missing, or if the file has been deleted in the meantime. */
async function linkLocked(
  context: ChangeContext,
  path: Path,
  content: Content,
  options: LinkOptions
): Promise<Records | undefined> {
  const { tree, author, chance, append } = context
  const parent = await findDirectory(context, path.slice(0, -1))
  if (parent === undefined) return undefined
  const node = await tree.child(parent, path.at(-1) as string)
  checkTarget(node, options)
  if (node !== undefined) return rewrite(context, node as FileNode, content, options.replicas)
  const at = placementIn(parent, path)
  return append([author.createFile(chance.bytes(ENTRY_ID_BYTES), at, content, options.replicas)])
}

function refuseRoot(path: Path): void {
  if (path.length === 0) throw new IsADirectoryError('this path is a directory')
}
