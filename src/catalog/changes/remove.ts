import type { EntryBody } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import type { Statement } from '../../format/statement.ts'
import { InvalidInputError } from '../../util/errors.ts'
import type { Content, VersionEnd } from '../author.ts'
import type { ChangeOptions, Records } from '../change.ts'
import { tagOfContent } from '../content-tag.ts'
import { ChangedError, DamagedEntryError, IsADirectoryError, NotFoundError, UNREADABLE } from '../errors.ts'
import type { DirectoryNode, FileNode } from '../tree-node.ts'
import { isVersion } from './checks.ts'
import type { ChangeContext } from './context.ts'
import { foundIn } from './found.ts'
import { removeRest, removeTree } from './remove-tree.ts'
import { rewrite } from './rewrite.ts'
import { type Transaction, transact } from './transaction.ts'
import { removeTwins } from './twins.ts'

export interface RemoveOptions extends ChangeOptions {
  /** Remove a directory with everything below it. */
  recursive?: boolean | undefined
  /** End the versions too. */
  purge?: boolean | undefined
  /** The tag of the content that must be there now. */
  ifTag?: string | undefined
  signal?: AbortSignal | undefined
}

/** The most times that the path is looked up. */
const ATTEMPTS_MAX = 16

/**
 * Deletes a file, or a directory and everything below it. An entry that cannot be read can still be deleted. Returns the
 * last record.
 */
export async function remove(context: ChangeContext, path: Path, options: RemoveOptions): Promise<Statement<'entry'>> {
  if (path.length === 0) throw new InvalidInputError('the root directory cannot be removed')
  const { onAppended = async () => {}, signal, purge = false } = options
  const ends: VersionEnd | undefined = purge ? 'purge' : undefined
  let last: Statement<'entry'> | undefined
  const note = async (records: Records, entries: number): Promise<void> => {
    last = records.at(-1) ?? last
    await onAppended(records, entries)
  }
  for (let count = 1; last === undefined; count++) {
    // The entry that was found may have been moved away before any of it was deleted, and another may be there now.
    if (count > ATTEMPTS_MAX) throw new ChangedError('the entry at this path keeps changing: try again')
    const { value: found, records } = await transact(context, tx => removeNode(context, tx, path, options), signal)
    if (records.length > 0) await note(records, 1)
    if (found?.kind === 'directory')
      await removeTree(context, { path, ids: found.ids }, { signal, ends, onAppended: note })
    else if (found !== undefined) await removeRest(context, found.id, { signal, ends, onAppended: note })
  }
  return last
}

/**
 * Deletes a file. Returns the node if work is left: a directory, or a file with so many heads that some are left.
 */
async function removeNode(
  context: ChangeContext,
  tx: Transaction,
  path: Path,
  { recursive = false, purge = false, ifTag }: RemoveOptions
): Promise<DirectoryNode | FileNode | undefined> {
  const found = await tx.resolve(path)
  if (found === undefined) throw new NotFoundError('nothing is at this path')
  const { node } = found
  if (node.kind === 'directory') {
    if (ifTag !== undefined)
      throw new ChangedError('this path does not hold the version that the request names: look at it again')
    if (!recursive) throw new IsADirectoryError('this is a directory: remove it recursively (rm -r)')
    return node
  }
  if (ifTag !== undefined && tagOfContent(node.record) !== ifTag)
    throw new ChangedError('this path does not hold the version that the request names: look at it again')
  if (isVersion(node)) {
    if (purge)
      throw new InvalidInputError(
        'this is a conflict version, which is purged only together with its file: remove it without --purge'
      )
    await removeVersion(context, tx, node)
    return undefined
  }
  const init = { ends: purge ? ('purge' as const) : undefined }
  await removeTwins(tx, node, found.parent, init)
  await tx.remove(foundIn(node), init)
  return node.row.state.older > 0 ? node : undefined
}

/**
 * Removes the conflict version that a node shows. To do so it writes the file's own content once more, covering all
 * heads.
 */
async function removeVersion(context: ChangeContext, tx: Transaction, file: FileNode): Promise<void> {
  if (file.shown.conflicts.length > 1) {
    throw new InvalidInputError(
      'this file has several conflict versions: restore the one to keep (dfs versions shows them)'
    )
  }
  const carried = file.shown.content ?? file.record
  const { root, rootEpoch } = carried
  const body = await context.bodies.need(carried)
  if (root === null || rootEpoch === null) throw new DamagedEntryError(UNREADABLE)
  const content: Content = { ...contentOf(body), root, rootEpoch }
  await rewrite(context, tx, { file, content, replicas: file.shown.replicas })
}

function contentOf({ size, mtime, mode, type, key, content, props }: EntryBody): Omit<Content, 'root' | 'rootEpoch'> {
  return { size, mtime, mode, type, key, content, props }
}
