import type { EntryBody } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import { toHex } from '../../util/bytes.ts'
import { InvalidInputError } from '../../util/errors.ts'
import { pushAll } from '../../util/push-all.ts'
import type { Content } from '../author.ts'
import type { RecordChange, Records } from '../change.ts'
import { tagOfContent } from '../content-tag.ts'
import { ChangedError, DamagedEntryError, IsADirectoryError, NotFoundError } from '../errors.ts'
import type { DirectoryNode, FileNode } from '../tree-node.ts'
import { isVersion } from './checks.ts'
import { type ChangeContext, deletionOf } from './context.ts'
import { rewrite } from './rewrite.ts'

export interface RemoveOptions {
  /** Remove a directory with everything below it. */
  recursive?: boolean | undefined
  /** The tag of the content that must be there now. */
  ifTag?: string | undefined
  signal?: AbortSignal | undefined
  /** Called after each append of a recursive removal, with the number of entries that it deleted. */
  onDeleted?: ((count: number) => void) | undefined
}

/** The most entries that one append deletes. */
const DELETE_BATCH = 256

/** Deletes a file, or a directory and everything below it. An entry that cannot be read can still be deleted. */
export async function remove(context: ChangeContext, path: Path, options: RemoveOptions): Promise<RecordChange> {
  const { recursive = false, ifTag } = options
  if (path.length === 0) throw new InvalidInputError('the root directory cannot be removed')
  const node = await context.tree.resolve(path)
  if (node === undefined) throw new NotFoundError('nothing is at this path')
  if (node.kind === 'file') return changeOf(path, await removeFile(context, node, ifTag))
  if (ifTag !== undefined) throw new ChangedError('what is at this path has changed')
  if (!recursive) throw new IsADirectoryError('this is a directory: remove it with -r')
  return changeOf(path, await removeDirectory(context, node, options))
}

function changeOf(path: Path, statements: Records): RecordChange {
  return { path, record: statements.at(-1) as Records[number], statements }
}

async function removeFile(context: ChangeContext, node: FileNode, ifTag: string | undefined): Promise<Records> {
  const { tree, locks, append } = context
  if (ifTag !== undefined && tagOfContent(node.record) !== ifTag)
    throw new ChangedError('what is at this path has changed')
  if (isVersion(node)) return removeVersion(context, node)
  return locks.entries([node.id], async () => {
    const now = await tree.entry(node.id)
    const content = now?.shown.content
    if (content === undefined) throw new NotFoundError('nothing is at this path')
    if (ifTag !== undefined && tagOfContent(content) !== ifTag)
      throw new ChangedError('what is at this path has changed')
    return append(await deletionOf(context, node.id))
  })
}

/**
 * Deletes files before the directories that hold them, so that no entry is ever left without a parent. Every batch is an
 * append of its own, so a failure leaves what was deleted before it.
 */
async function removeDirectory(
  context: ChangeContext,
  directory: DirectoryNode,
  options: RemoveOptions
): Promise<Records> {
  const { signal, onDeleted } = options
  const statements: Records = []
  const files = new Map<string, Uint8Array>()
  for await (const node of context.tree.list(directory)) {
    signal?.throwIfAborted()
    if (node.kind === 'directory') pushAll(statements, await removeDirectory(context, node, options))
    else files.set(toHex(node.id), node.id)
  }
  const ids = [...files.values(), ...directory.ids]
  for (let start = 0; start < ids.length; start += DELETE_BATCH) {
    signal?.throwIfAborted()
    const batch = ids.slice(start, start + DELETE_BATCH)
    pushAll(statements, await deleteAll(context, batch))
    onDeleted?.(batch.length)
  }
  return statements
}

function deleteAll(context: ChangeContext, ids: readonly Uint8Array[]): Promise<Records> {
  return context.locks.entries(ids, async () => {
    const records = await Promise.all(ids.map(id => deletionOf(context, id)))
    return context.append(records.flat())
  })
}

/**
 * Removes the conflict version that a path shows. To do so it writes the file's own content once more, covering all
 * heads.
 */
async function removeVersion(context: ChangeContext, node: FileNode): Promise<Records> {
  if (node.shown.conflicts.length > 1) {
    throw new InvalidInputError('this file has several conflict versions: put the one to keep at its own path')
  }
  const carried = node.shown.content ?? node.record
  const { root, rootEpoch } = carried
  const body = await context.bodies.open(carried)
  if (body === undefined || root === null || rootEpoch === null)
    throw new DamagedEntryError('this entry cannot be read: it can only be removed')
  const kept: Content = { ...contentOf(body), root, rootEpoch }
  const records = await rewrite(context, { ...node, rivals: [] }, kept, { replicas: node.shown.replicas })
  if (records === undefined) throw new ChangedError('what is at this path has changed')
  return records
}

function contentOf({ size, mtime, mode, type, key, content, props }: EntryBody): Omit<Content, 'root' | 'rootEpoch'> {
  return { size, mtime, mode, type, key, content, props }
}
