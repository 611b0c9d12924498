import type { Path } from '../../format/path.ts'
import { equalBytes } from '../../util/bytes.ts'
import { type Content, isPastTooLong } from '../author.ts'
import type { DeletedFile, LinkChange, Records } from '../change.ts'
import { ChangedError, ExistsError } from '../errors.ts'
import type { ChangeContext } from './context.ts'
import type { FoundEntry } from './found.ts'
import { type Transaction, transact } from './transaction.ts'

/**
 * Writes content to a deleted file, so that it is at its place again. Deleted directories above it show again because of
 * it. If the past of the file has grown too long, it goes on under a new id. Throws an `ExistsError` if the file is there
 * already, or something else has its name.
 */
export async function restoreFile(
  context: ChangeContext,
  { id, parent, name }: DeletedFile,
  content: Content,
  { replicas }: { replicas: number }
): Promise<LinkChange> {
  const { author, bodies } = context
  const { records } = await transact(context, async tx => {
    if ((await tx.child(parent, name)) !== undefined) throw new ExistsError('something is at this path already')
    const found = await deletedEntry(tx, id)
    const { state } = found.row
    if (!parent.ids.some(parent => equalBytes(parent, found.row.parent)))
      throw new ChangedError('the entry at this path has changed: try again')
    const at = { parent: found.row.parent, name }
    if (isPastTooLong(state.heads)) tx.createFile(at, { ...content, continues: id }, replicas)
    else {
      const last = state.lastPut === undefined ? undefined : await bodies.open(state.lastPut)
      const written = { ...content, continues: last?.continues }
      tx.change(found, () => [author.restoreFile({ state, at, content: written, replicas })])
    }
  })
  const path: Path = [...parent.path, name]
  return { path, record: records.at(-1) as Records[number], statements: records, isSameContent: false }
}

/**
 * Restores deleted directories, each at its last place, without what was in them. A directory that is no longer deleted
 * is left alone, and so is one whose past has grown too long: it shows again once something in it does.
 */
export async function restoreDirectories(context: ChangeContext, ids: readonly Uint8Array[]): Promise<Records> {
  const { author, bodies } = context
  const { records } = await transact(context, async tx => {
    tx.lockDirectoryMoves()
    for (const id of ids) {
      const found = await tx.entry(id)
      if (found === undefined || !found.shown.isDeleted || isPastTooLong(found.row.state.heads)) continue
      const body = await bodies.need(found.shown.place)
      tx.change(found, () => [author.restore(found.row.state, { parent: body.parent, name: body.name }, body)])
    }
  })
  return records
}

async function deletedEntry(tx: Transaction, id: Uint8Array): Promise<FoundEntry> {
  const found = await tx.entry(id)
  if (found?.shown.isDeleted !== true) throw new ExistsError('this file is there again')
  return found
}
