import { formatPath, type Path } from '../format/path.ts'
import { type FsContext, recordReplicas } from './context.ts'
import { deliver } from './deliver.ts'

/** Makes a directory and those above it. */
export async function makeDirectory(fs: FsContext, path: Path): Promise<{ path: string }> {
  const change = await fs.catalog.mkdir(path, recordReplicas(fs.defaults.replicas))
  await deliver(fs, change.statements)
  return { path: formatPath(change.path) }
}
