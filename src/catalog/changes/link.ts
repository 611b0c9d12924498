import type { Path } from '../../format/path.ts'
import type { Content } from '../author.ts'
import type { LinkChange, Records } from '../change.ts'
import { tagOfContent } from '../content-tag.ts'
import { IsADirectoryError } from '../errors.ts'
import type { FileNode } from '../tree-node.ts'
import { checkTarget, type TargetOptions } from './checks.ts'
import type { ChangeContext } from './context.ts'
import { assertPathFits } from './path-room.ts'
import { rewrite } from './rewrite.ts'
import { transact } from './transaction.ts'

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
  assertPathFits(path)
  const { replicas } = options
  const name = path.at(-1) as string
  let isSameContent = false
  const { records } = await transact(context, async tx => {
    const { id, node: parent } = await tx.parent(path.slice(0, -1), replicas)
    const node = await tx.child(parent, name)
    checkTarget(node, options)
    if (node === undefined || parent === undefined) return tx.createFile({ parent: id, name }, content, replicas)
    const file = node as FileNode
    isSameContent = tagOfContent(file.record) === tagOfContent(content)
    for (const rival of await tx.rivalsOf(file, parent)) await tx.remove(rival)
    await rewrite(context, tx, { file, content, replicas, name })
  })
  return { path, record: records.at(-1) as Records[number], statements: records, isSameContent }
}

function refuseRoot(path: Path): void {
  if (path.length === 0) throw new IsADirectoryError('this path is a directory')
}
