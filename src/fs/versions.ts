import { IsADirectoryError, NotFoundError } from '../catalog/errors.ts'
import type { PastPlace, Version } from '../catalog/past/past.ts'
import type { Path } from '../format/path.ts'
import { peerIdOf } from '../format/peer-id.ts'
import { hlcMs } from '../format/stamp.ts'
import { toHex } from '../util/bytes.ts'
import type { FsContext } from './context.ts'
import type { AbortOptions } from './types.ts'
import type { VersionItem } from './version-types.ts'

/** Yields the versions of a file, deleted or not, and its deletes, the latest first. */
export async function* versionsOf(
  fs: FsContext,
  path: Path,
  { signal }: AbortOptions = {}
): AsyncGenerator<VersionItem> {
  const place = await resolvePast(fs, path, signal)
  let isEmpty = true
  for await (const version of fs.past.versions.list(place)) {
    signal?.throwIfAborted()
    isEmpty = false
    yield toItem(fs, version)
  }
  if (isEmpty) throw await noVersions(fs, place)
}

/** Returns what is or was at a path. Throws a `NotFoundError` if nothing can have been there. */
export async function resolvePast(
  fs: Pick<FsContext, 'past' | 'members'>,
  path: Path,
  signal: AbortSignal | undefined
): Promise<PastPlace> {
  signal?.throwIfAborted()
  fs.members.standing.assertReads()
  if (path.length === 0) throw new IsADirectoryError(NO_VERSIONS)
  const place = await fs.past.tree.place(path)
  signal?.throwIfAborted()
  if (place === undefined) throw new NotFoundError(NOTHING)
  return place
}

/** Returns the error for a place that never had a file. */
export async function noVersions({ past }: Pick<FsContext, 'past'>, place: PastPlace): Promise<Error> {
  if (place.shown?.kind === 'directory') return new IsADirectoryError(NO_VERSIONS)
  for await (const _ of past.tree.deletedAt(place))
    return new IsADirectoryError('this was a directory: "dfs restore" brings it back as a whole')
  return new NotFoundError(NOTHING)
}

const NOTHING = 'nothing is or was at this path, as far as this member knows'
const NO_VERSIONS =
  'this is a directory, which has no versions: name a file, or see what was removed with "dfs ls --deleted"'

function toItem({ members }: Pick<FsContext, 'members'>, version: Version): VersionItem {
  const { id, stamp, body, isCurrent, isConflict, isDelete, isDropped, isPurged, expiresAtMs } = version
  const author = peerIdOf(stamp.author)
  const written = new Date(hlcMs(stamp.hlc))
  return {
    version: toHex(id),
    size: body?.size ?? 0,
    modified: body === undefined ? written : new Date(body.mtime),
    written,
    author,
    authorName: members.member(author)?.name ?? null,
    current: isCurrent,
    conflict: isConflict,
    deleted: isDelete,
    expires: expiresAtMs === null ? null : new Date(expiresAtMs),
    expired: isDropped || isPurged,
    purged: isPurged
  }
}
