import type { Records } from '../catalog/change.ts'
import { formatPath, type Path } from '../format/path.ts'
import { encodeReplicas } from '../format/replicas.ts'
import { raceSignal } from '../util/deadline.ts'
import type { FsContext } from './context.ts'
import { MemberPushes } from './push-to-members.ts'
import type { AbortOptions } from './types.ts'

export interface MoveOptions extends AbortOptions {
  noClobber?: boolean | undefined
}

/**
 * Moves a file or directory. This usually takes one record for each entry of that name, however large a directory is.
 * An abort after the records are appended only stops the wait for other members; it undoes nothing.
 */
export async function movePath(
  fs: FsContext,
  from: Path,
  to: Path,
  { noClobber, signal }: MoveOptions = {}
): Promise<{ from: string; path: string }> {
  signal?.throwIfAborted()
  // A move that takes several appends is not left half done by an abort.
  const pushes = new MemberPushes(fs)
  const replicas = encodeReplicas(fs.defaults.replicas)
  const onAppended = (records: Records): Promise<void> => pushes.push(records)
  const path = await fs.catalog.move(from, to, { noClobber, replicas, signal, onAppended })
  await raceSignal(pushes.settle(), signal)
  return { from: formatPath(from), path: formatPath(path) }
}
