import type { EntryBody } from '../../format/entry.ts'
import { type Content, isPastTooLong, type Placement } from '../author.ts'
import { DamagedEntryError } from '../errors.ts'
import { isSubstituteName } from '../names.ts'
import type { FileNode } from '../tree-node.ts'
import type { ChangeContext } from './context.ts'
import { foundIn } from './found.ts'
import type { Transaction } from './transaction.ts'

export interface RewriteInit {
  file: FileNode
  content: Content
  replicas: number
  /** The name under which the file was found, if the index found it under that name. */
  name?: string | undefined
}

/**
 * Writes new content to a file. This ends the file's conflicts. If the file's past has grown too long for another put,
 * the file continues under a new id.
 */
export async function rewrite(
  { author, bodies }: Pick<ChangeContext, 'author' | 'bodies'>,
  tx: Transaction,
  { file, content, replicas, name }: RewriteInit
): Promise<void> {
  const { row, shown } = file
  const { state } = row
  const at = placementOf(file, await bodies.open(shown.place), name)
  const known = await bodies.open(shown.content ?? shown.place)
  const written = { ...content, props: content.props ?? known?.props, continues: known?.continues }
  if (isPastTooLong(state.heads)) {
    await tx.remove(foundIn(file))
    tx.createFile(at, { ...written, continues: file.id }, replicas)
  } else tx.change(file, () => [author.write({ state, shown, at, content: written, replicas })])
}

/**
 * Returns where an entry is. If the body that says this was damaged after it arrived, the index still knows the parent,
 * and the entry was found under its name.
 */
function placementOf({ row }: FileNode, body: EntryBody | undefined, name: string | undefined): Placement {
  if (!row.isDamaged && body !== undefined) return { parent: body.parent, name: body.name }
  if (!row.isDamaged && name !== undefined && !isSubstituteName(name)) return { parent: row.parent, name }
  throw new DamagedEntryError('this entry cannot be read: remove it, then put it again')
}
