import { formatPath, type Path } from '../format/path.ts'
import { idOf } from '../format/statement.ts'
import type { FsContext } from './context.ts'
import { deliver } from './deliver.ts'
import type { RemoveResult } from './types.ts'

export interface RemoveOptions {
  recursive?: boolean | undefined
  ifTag?: string | undefined
  signal?: AbortSignal | undefined
}

/**
 * Deletes a file, or a directory with all below it. Members that are away learn of it when they come back; it counts as
 * acknowledged by a member only when that member said so. What it held stays on disk: older versions are kept.
 */
export async function removePath(fs: FsContext, path: Path, options: RemoveOptions = {}): Promise<RemoveResult> {
  const change = await fs.catalog.remove(path, options)
  const self = fs.members.self.peerId
  const removedOn = [self, ...(await deliver(fs, change.statements))]
  const waitingFor = fs.members.all
    .filter(({ peer }) => !removedOn.includes(peer))
    .map(({ peer, name }) => ({ peerId: peer, name }))
  return { path: formatPath(change.path), version: idOf(change.record), removedOn, waitingFor, freesAt: null }
}
