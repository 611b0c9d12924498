import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import { pushAll } from '../../util/push-all.ts'
import type { Content, Placement } from '../author.ts'
import type { Records } from '../change.ts'
import { DamagedEntryError } from '../errors.ts'
import { isSubstituteName } from '../names.ts'
import type { FileNode } from '../tree-node.ts'
import { type ChangeContext, deletionOf, type FoundEntry, findEntry } from './context.ts'

export interface RewriteOptions {
  replicas: number
  /** The name under which the file was found, if the index found it under that name. */
  name?: string | undefined
}

/**
 * Writes new content to a file. This ends the file's conflicts, and deletes the other files with the same name. The
 * write is the last record. Returns undefined if the file has been deleted in the meantime.
 */
export function rewrite(
  context: ChangeContext,
  node: FileNode,
  content: Content,
  { replicas, name }: RewriteOptions
): Promise<Records | undefined> {
  return context.locks.entries([node.id, ...node.rivals], async () => {
    const records: Records = []
    for (const rival of node.rivals) pushAll(records, await deletionOf(context, rival))
    const found = await findEntry(context, node.id)
    if (found === undefined || found.shown.isDeleted) return undefined
    pushAll(records, await writesTo(context, found, { entry: node.id, content, replicas, name }))
    return context.append(records)
  })
}

/**
 * Returns where an entry is. If the body that says so was damaged since it arrived, the index still knows the parent and
 * has found the entry under the name.
 */
function placementOf({ row, body, name }: Pick<FoundEntry, 'row' | 'body'> & Pick<RewriteOptions, 'name'>): Placement {
  if (!row.isDamaged && body !== undefined) return { parent: body.parent, name: body.name }
  if (!row.isDamaged && name !== undefined && !isSubstituteName(name)) return { parent: row.parent, name }
  throw new DamagedEntryError('this entry cannot be read: remove it, then put it again')
}

/** Signs the records that write content to an entry: one record, or more if the file has to continue under a new id. */
async function writesTo(
  { author, bodies, chance }: ChangeContext,
  { row, shown, body }: FoundEntry,
  { entry, content, replicas, name }: RewriteOptions & { entry: Uint8Array; content: Content }
): Promise<Records> {
  const at = placementOf({ row, body, name })
  const props = content.props ?? (await bodies.open(shown.content ?? shown.place))?.props
  const written = { ...content, props }
  const record = author.write({ entry, state: row.state, shown, at, content: written, replicas })
  if (record !== undefined) return [record]
  // Its past has grown too long for another put, so the file continues under a new id.
  const deleted = author.delete(entry, row.state, shown, body)
  return [...deleted, author.createFile(chance.bytes(ENTRY_ID_BYTES), at, written, replicas)]
}
