import { NotFoundError } from '../catalog/errors.ts'
import type { ListedDeleted } from '../catalog/past/past.ts'
import { formatPath, type Path } from '../format/path.ts'
import { peerIdOf } from '../format/peer-id.ts'
import { hlcMs } from '../format/stamp.ts'
import type { FsContext } from './context.ts'
import type { ListItem, ListOptions } from './types.ts'

/**
 * Lists what was deleted from a directory, which may be deleted itself, in the order of the names' bytes. With
 * `recursive`, it goes down into all directories, deleted or not.
 */
export async function* listDeleted(
  fs: FsContext,
  path: Path,
  { recursive, signal }: ListOptions = {}
): AsyncGenerator<ListItem> {
  signal?.throwIfAborted()
  fs.members.standing.assertReads()
  const directory = await fs.past.tree.directory(path)
  signal?.throwIfAborted()
  if (directory === undefined)
    throw new NotFoundError('no directory is or was at this path, as far as this member knows')
  for await (const listed of fs.past.listing.list(directory, { recursive, signal })) {
    const item = await itemOf(fs, listed)
    if (item !== undefined) yield item
  }
}

/** Returns what a listing says about a deleted entry; undefined if nothing of it can be restored any more. */
async function itemOf(
  { past }: FsContext,
  { path, id, kind, deleted: stamp }: ListedDeleted
): Promise<ListItem | undefined> {
  const last = kind === 'file' ? await past.versions.lastOf(id) : undefined
  if (kind === 'file' ? last === undefined : await past.removed.isPurged(id)) return undefined
  const body = last?.body
  const deletedAt = new Date(hlcMs(stamp.hlc))
  return {
    path: formatPath(path),
    kind,
    size: body?.size ?? 0,
    modified: body === undefined ? deletedAt : new Date(body.mtime),
    mode: body?.mode,
    conflict: false,
    deletedAt,
    deletedBy: peerIdOf(stamp.author),
    ...(last === undefined ? {} : { expires: last.expiresAtMs === null ? null : new Date(last.expiresAtMs) })
  }
}
