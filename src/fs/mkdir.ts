import { formatPath, type Path } from '../format/path.ts'
import { encodeReplicas } from '../format/replicas.ts'
import type { FsContext } from './context.ts'
import { pushToMembers } from './push-to-members.ts'
import type { AbortOptions } from './types.ts'

/** Makes a directory and any missing directories above it. After an abort, directories that have been made stay. */
export async function makeDirectory(
  fs: FsContext,
  path: Path,
  { signal }: AbortOptions = {}
): Promise<{ path: string }> {
  signal?.throwIfAborted()
  const change = await fs.catalog.mkdir(path, encodeReplicas(fs.defaults.replicas))
  await pushToMembers(fs, change.statements, signal)
  return { path: formatPath(change.path) }
}
