import { formatPath, type Path } from '../format/path.ts'
import { type FsContext, recordReplicas } from './context.ts'
import { pushToMembers } from './push-to-members.ts'
import type { AbortOptions } from './types.ts'

/** Makes a directory and those above it. An abort leaves directories that have been made. */
export async function makeDirectory(
  fs: FsContext,
  path: Path,
  { signal }: AbortOptions = {}
): Promise<{ path: string }> {
  signal?.throwIfAborted()
  const change = await fs.catalog.mkdir(path, recordReplicas(fs.defaults.replicas))
  await pushToMembers(fs, change.statements, signal)
  return { path: formatPath(change.path) }
}
