import { formatPath, type Path } from '../format/path.ts'
import { encodeReplicas } from '../format/replicas.ts'
import type { FsContext } from './context.ts'
import { pushToMembers } from './push-to-members.ts'
import { resolveTarget } from './resolve.ts'
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
  const isOntoItself = formatPath(from) === formatPath(to)
  const { target } = isOntoItself ? { target: to } : await resolveTarget(fs, from, to, signal)
  signal?.throwIfAborted()
  const replicas = encodeReplicas(fs.defaults.replicas)
  const change = await fs.catalog.move(from, target, { noClobber, replicas })
  await pushToMembers(fs, change.statements, signal)
  return { from: formatPath(from), path: formatPath(change.path) }
}
