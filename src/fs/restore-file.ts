import type { DeletedFile } from '../catalog/change.ts'
import type { VersionRow } from '../catalog/past/past.ts'
import { cidOf } from '../catalog/projection.ts'
import type { Path } from '../format/path.ts'
import { decodeReplicas } from '../format/replicas.ts'
import type { FsContext } from './context.ts'
import { putCopy } from './put-copy.ts'
import type { LinkTo } from './small-file.ts'
import type { AbortOptions, PutResult } from './types.ts'

/**
 * Writes the content of a version to a path once more: the blocks are kept as a put keeps them, by as many members as
 * that version asked for. If the path shows no file, `deleted` is the deleted one to write to.
 */
export async function writeVersion(
  fs: FsContext,
  path: Path,
  row: VersionRow,
  { deleted, signal }: AbortOptions & { deleted?: DeletedFile | undefined }
): Promise<PutResult> {
  const { record, body } = await fs.past.versions.read(row)
  signal?.throwIfAborted()
  const { size, mtime, mode, type, key, content, props } = body
  const named = { root: record.root as Uint8Array, rootEpoch: record.rootEpoch as Uint8Array }
  const written = { ...named, size, mtime, mode, type, key, content, props }
  const linkTo: LinkTo | undefined =
    deleted && ((content, options) => fs.catalog.restoreFile(deleted, content, options))
  const resolved = { copies: decodeReplicas(record.replicas), acks: fs.defaults.ack, signal }
  return putCopy(fs, { path, content: written, root: cidOf(record), linkTo }, resolved)
}
