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
  if (directory === undefined) throw new NotFoundError('no directory is at this path, and none that is known was')
  for await (const listed of fs.past.listing.list(directory, { recursive, signal })) yield await itemOf(fs, listed)
}

async function itemOf({ past }: FsContext, { path, id, kind, deleted: stamp }: ListedDeleted): Promise<ListItem> {
  const { hlc, author } = stamp
  const body = kind === 'file' ? await past.versions.lastBodyOf(id) : undefined
  const deleted = new Date(hlcMs(hlc))
  return {
    path: formatPath(path),
    kind,
    size: body?.size ?? 0,
    modified: body === undefined ? deleted : new Date(body.mtime),
    mode: body?.mode,
    conflict: false,
    deletedAt: deleted,
    deletedBy: peerIdOf(author)
  }
}
