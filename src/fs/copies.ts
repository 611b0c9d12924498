import { cidOf } from '../catalog/projection.ts'
import type { FileNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { PeerId } from '../format/peer-id.ts'
import { decodeReplicas } from '../format/replicas.ts'
import { raceSignal } from '../util/deadline.ts'
import { TREE_AT_ONCE } from './constants.ts'
import { awaited, type FsContext } from './context.ts'
import { nodesBelow } from './list.ts'
import { resolvePath } from './resolve.ts'
import type { AbortOptions, CopiesItem } from './types.ts'

/** Yields each file at or below a path, in the order of a listing, with the copies that members say now that they hold. */
export async function* copiesBelow(fs: FsContext, path: Path, options: AbortOptions = {}): AsyncGenerator<CopiesItem> {
  const { signal } = options
  const node = await resolvePath(fs, path, signal)
  if (node.kind === 'file') {
    yield await itemOf(fs, node)
    return
  }
  // Each file takes a wait for members' answers, so several files are asked for at a time.
  const asked: Array<Promise<CopiesItem>> = []
  for await (const child of nodesBelow(fs, node, { signal, recursive: true })) {
    if (child.kind === 'directory') continue
    const item = itemOf(fs, child)
    // If the caller has gone, or an earlier file has failed, nobody waits for this one.
    item.catch(() => {})
    asked.push(item)
    if (asked.length >= TREE_AT_ONCE) yield await raceSignal(asked.shift() as Promise<CopiesItem>, signal)
  }
  for (const item of asked) yield await raceSignal(item, signal)
}

/** The copies of one file. */
export interface FileCopies {
  wanted: number
  confirmed: number
  /** The members that owe a copy and do not say that they have it, if there are fewer copies than are wanted. */
  missingOn: readonly PeerId[]
}

/** Asks the members for the copies of a file. */
export async function copiesOf(fs: FsContext, { shown, record }: FileNode): Promise<FileCopies> {
  const { blocks, sync, members } = fs
  const replicas = decodeReplicas(shown.replicas)
  const wanted = Math.max(1, Math.min(replicas, blocks.keepers.length))
  const root = cidOf(record)
  if (root !== undefined) return { wanted, ...(await blocks.copies(root, replicas)) }
  const holders = new Set([members.self.peerId, ...(await sync.holders(record.id))])
  const isMissing = holders.size < wanted
  return { wanted, confirmed: holders.size, missingOn: blocks.keepers.filter(peer => isMissing && !holders.has(peer)) }
}

async function itemOf(fs: FsContext, file: FileNode): Promise<CopiesItem> {
  const { wanted, confirmed, missingOn } = await copiesOf(fs, file)
  const size = file.body?.size ?? 0
  return { path: formatPath(file.path), size, wanted, confirmed, waitingFor: awaited(fs, missingOn) }
}
