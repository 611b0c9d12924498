import { formatPath, type Path } from '../format/path.ts'
import { type FsContext, recordReplicas } from './context.ts'
import { deliver } from './deliver.ts'
import { targetOf } from './target.ts'

/** Moves a file or a directory, whatever its size: one record. */
export async function movePath(
  fs: FsContext,
  from: Path,
  to: Path,
  options: { noClobber?: boolean | undefined } = {}
): Promise<{ from: string; path: string }> {
  const isOntoItself = formatPath(from) === formatPath(to)
  const { target } = isOntoItself ? { target: to } : await targetOf(fs, from, to)
  const replicas = recordReplicas(fs.defaults.replicas)
  const change = await fs.catalog.move(from, target, { ...options, replicas })
  await deliver(fs, change.statements)
  return { from: formatPath(from), path: formatPath(change.path) }
}
