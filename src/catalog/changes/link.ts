import type { Path } from '../../format/path.ts'
import type { Content } from '../author.ts'
import type { LinkChange, LinkFailure, Records } from '../change.ts'
import { tagOfContent } from '../content-tag.ts'
import { IsADirectoryError } from '../errors.ts'
import type { FileNode } from '../tree-node.ts'
import { checkTarget, type TargetOptions } from './checks.ts'
import type { ChangeContext } from './context.ts'
import type { Parent } from './found.ts'
import { assertPathFits } from './path-room.ts'
import { rewrite } from './rewrite.ts'
import { type Part, type Transaction, transact } from './transaction.ts'

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
 * Links content to a path. The content becomes that of the file at the path, or of a new file if there is none. Other
 * files that have the same name are deleted. Missing directories are made in the same append, so if the link is refused,
 * none of them is visible.
 */
export async function link(
  context: ChangeContext,
  path: Path,
  content: Content,
  options: LinkOptions
): Promise<LinkChange> {
  refuseRoot(path)
  const name = path.at(-1) as string
  const [change] = await linkAll(context, path.slice(0, -1), [{ name, content, target: options }], options)
  if (change === undefined || 'error' in change) throw change?.error
  return change
}

/** Content to link, under a name. */
export interface NamedContent {
  name: string
  content: Content
  target: TargetOptions
}

/**
 * Links several contents as `link` does, to different names in one directory, in one append. Returns the outcome of each,
 * in their order: a link that is refused does not stop the others. The records of missing directories come with the first
 * link that was not refused. Throws if nothing could be linked.
 */
export async function linkAll(
  context: ChangeContext,
  directory: Path,
  files: readonly NamedContent[],
  { replicas }: Pick<LinkOptions, 'replicas'>
): Promise<Array<LinkChange | LinkFailure>> {
  const outcome = await transact(context, async tx => {
    const parent = await tx.parent(directory, replicas)
    const linked: Part<boolean>[] = []
    for (const file of files) {
      const part = await tx.part(() => {
        assertPathFits([...directory, file.name])
        return linkOne(context, tx, parent, { ...file, replicas })
      })
      linked.push(part)
    }
    const [first] = linked
    // Directories are not made for nothing.
    if (parent.node === undefined && first !== undefined && 'error' in first && linked.every(part => 'error' in part))
      throw first.error
    return linked
  })
  const { value: linked, recordsOf } = outcome
  let made = recordsOf({ from: 0, to: linked[0]?.from ?? 0 })
  return linked.map((part, i) => {
    if ('error' in part) return { error: part.error }
    const statements = [...made, ...recordsOf(part)]
    made = []
    const { name } = files[i] as NamedContent
    const record = statements.at(-1) as Records[number]
    return { path: [...directory, name], record, statements, isSameContent: part.value }
  })
}

/** Plans one link. Returns true if the file has this content already. */
async function linkOne(
  context: ChangeContext,
  tx: Transaction,
  { id, node: parent }: Parent,
  { name, content, target, replicas }: NamedContent & Pick<LinkOptions, 'replicas'>
): Promise<boolean> {
  const node = await tx.child(parent, name)
  checkTarget(node, target)
  if (node === undefined || parent === undefined) {
    tx.createFile({ parent: id, name }, content, replicas)
    return false
  }
  const file = node as FileNode
  for (const rival of await tx.rivalsOf(file, parent)) await tx.remove(rival)
  await rewrite(context, tx, { file, content, replicas, name })
  return tagOfContent(file.record) === tagOfContent(content)
}

function refuseRoot(path: Path): void {
  if (path.length === 0) throw new IsADirectoryError('this path is a directory')
}
