import { IsADirectoryError, NotFoundError } from '../catalog/errors.ts'
import type { PastPlace } from '../catalog/past/past.ts'
import type { Path } from '../format/path.ts'
import type { FsContext } from './context.ts'
import { endPast } from './end-versions.ts'
import { partlyDone } from './partly-done.ts'
import { Removal } from './removal.ts'
import type { RemoveOptions, RemoveResult } from './types.ts'

/**
 * Deletes a file, or a directory with everything below it. Members that are offline learn of the deletion when they
 * come back. Entries that were deleted before a failure or an abort stay deleted. If there are any, a failure throws a
 * `PartlyDoneError`. A purge also ends the versions of what was deleted at this path before, and below it.
 */
export async function removePath(
  fs: FsContext,
  path: Path,
  { wait = false, ...options }: RemoveOptions & { wait?: boolean | undefined } = {}
): Promise<RemoveResult> {
  return lastOf(removingPath(fs, path, options), wait)
}

/**
 * Deletes as `removePath` does, and yields the result, and again each time that more members have acknowledged the
 * deletion. Ends when all have, but for those that are out. A member is in `removedOn` only once it has acknowledged the
 * deletion itself.
 */
export async function* removingPath(
  fs: FsContext,
  path: Path,
  { signal, ...options }: RemoveOptions = {}
): AsyncGenerator<RemoveResult> {
  signal?.throwIfAborted()
  const removal = new Removal(fs, path, signal)
  const { onAppended } = removal
  try {
    if (options.purge === true) await purge(fs, path, { ...options, signal }, removal)
    else await fs.catalog.remove(path, { ...options, signal, onAppended })
  } catch (error) {
    const { count } = removal
    throw partlyDone(error, count, `${count} of the entries below it have been removed, repeat this for the rest`)
  }
  yield* removal.results()
}

/** Returns the first result, or the last one if the caller wants to wait. */
export async function lastOf(results: AsyncGenerator<RemoveResult>, wait: boolean): Promise<RemoveResult> {
  let last = (await results.next()).value as RemoveResult
  if (wait) for await (const result of results) last = result
  else await results.return(undefined)
  return last
}

async function purge(fs: FsContext, path: Path, options: RemoveOptions, removal: Removal): Promise<void> {
  const { recursive = false, ifTag, signal } = options
  const { onAppended } = removal
  let missing: unknown
  try {
    await fs.catalog.remove(path, { ...options, onAppended })
  } catch (error) {
    if (!(error instanceof NotFoundError) || ifTag !== undefined) throw error
    missing = error
  }
  const place = await fs.past.tree.place(path)
  if (place !== undefined)
    await endPast(fs, { place, ends: 'purge', recursive, signal, onAppended, isDone: removal.ownSoFar() })
  if (missing === undefined || removal.count > 0) return
  throw place === undefined ? missing : await nothingToPurge(fs, place, recursive)
}

async function nothingToPurge({ past }: FsContext, place: PastPlace, recursive: boolean): Promise<Error> {
  for await (const { kind } of past.tree.deletedAt(place)) {
    if (kind === 'directory' && !recursive)
      return new IsADirectoryError('this was a directory: purge it with everything that was in it (dfs rm -r --purge)')
    return new NotFoundError('nothing is at this path, and no version of what was here is kept')
  }
  return new NotFoundError('nothing is at this path')
}
