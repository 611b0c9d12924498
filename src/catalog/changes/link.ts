import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import type { Content } from '../author.ts'
import type { RecordChange, Records } from '../change.ts'
import { IsADirectoryError } from '../errors.ts'
import type { FileNode } from '../tree-node.ts'
import { checkTarget, type TargetOptions } from './checks.ts'
import { attempt, type ChangeContext } from './context.ts'
import { missingDirectories, parentAt } from './mkdir.ts'
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

/**
 * Links content to a path. The content becomes that of the file at the path, or of a new file if there is none. Missing
 * directories are made in the same append, so if the link is refused, none of them is visible.
 */
export async function link(
  context: ChangeContext,
  path: Path,
  content: Content,
  options: LinkOptions
): Promise<RecordChange> {
  refuseRoot(path)
  // Most files are put into directories that exist, so we look for missing ones only when that turns out to be wrong.
  let missing: Path[] = []
  return attempt(context, async () => {
    const locked = (): Promise<Records | undefined> => linkLocked(context, path, missing, { content, options })
    const statements = await context.locks.paths([...missing, path], locked)
    if (statements !== undefined) return { path, record: statements.at(-1) as Records[number], statements }
    missing = await missingDirectories(context, path.slice(0, -1))
    return undefined
  })
}

/** Returns undefined if other directories are missing than these, or if the file has been deleted in the meantime. */
async function linkLocked(
  context: ChangeContext,
  path: Path,
  missing: readonly Path[],
  { content, options }: { content: Content; options: LinkOptions }
): Promise<Records | undefined> {
  const { tree, author, chance, append } = context
  const parent = await parentAt(context, path.slice(0, -1), missing, options.replicas)
  if (parent === undefined) return undefined
  const name = path.at(-1) as string
  const node = parent.node === undefined ? undefined : await tree.child(parent.node, name)
  checkTarget(node, options)
  if (node !== undefined)
    return rewrite(context, node as FileNode, content, { replicas: options.replicas, name: path.at(-1) })
  const at = { parent: parent.id, name }
  return append([...parent.made, author.createFile(chance.bytes(ENTRY_ID_BYTES), at, content, options.replicas)])
}

function refuseRoot(path: Path): void {
  if (path.length === 0) throw new IsADirectoryError('this path is a directory')
}
