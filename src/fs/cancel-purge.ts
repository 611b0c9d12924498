import type { Path } from '../format/path.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { FsContext } from './context.ts'
import { endPast } from './end-versions.ts'
import { partlyDone } from './partly-done.ts'
import { Removal } from './removal.ts'
import { lastOf } from './remove.ts'
import type { AbortOptions, RemoveResult } from './types.ts'
import { resolvePast } from './versions.ts'

/**
 * Cancels the purge of a deleted file, or of everything below a deleted directory, that still waits. It stays deleted,
 * and its versions are kept as those of anything that was removed. Throws an `InvalidInputError` if no purge waits.
 */
export async function cancelPurge(fs: FsContext, path: Path, { signal }: AbortOptions = {}): Promise<RemoveResult> {
  fs.members.assertMayWrite()
  const place = await resolvePast(fs, path, signal)
  const removal = new Removal(fs, path, signal)
  const { onAppended } = removal
  try {
    await endPast(fs, { place, ends: 'cancel', recursive: true, signal, onAppended })
  } catch (error) {
    const { count } = removal
    throw partlyDone(error, count, `the purge of ${count} files below it has been cancelled, repeat this for the rest`)
  }
  if (removal.count > 0) return lastOf(removal.results(), false)
  throw new InvalidInputError(
    place.shown === undefined
      ? 'no purge of this path waits: it has taken effect, or there was none'
      : 'this has not been removed: only the purge of something removed can be cancelled'
  )
}
