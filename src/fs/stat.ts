import { tagOfContent } from '../catalog/content-tag.ts'
import { cidOf } from '../catalog/projection.ts'
import type { FileNode } from '../catalog/tree-node.ts'
import type { EntryRecord } from '../format/entry.ts'
import { formatPath, type Path } from '../format/path.ts'
import { peerIdOf } from '../format/peer-id.ts'
import { hlcMs } from '../format/stamp.ts'
import { toHex } from '../util/bytes.ts'
import { raceSignal } from '../util/deadline.ts'
import type { FsContext } from './context.ts'
import { copiesOf } from './copies.ts'
import { toItem } from './list.ts'
import { resolvePath } from './resolve.ts'
import type { AbortOptions, ConflictItem, Stat, Writer } from './types.ts'

/**
 * Returns the metadata of a file or directory, and the number of members that have it. For a file it asks the members
 * which of its blocks they hold. A directory has no blocks, so it counts the members whose log has been compared with
 * ours.
 */
export async function statPath(fs: FsContext, path: Path, { signal }: AbortOptions = {}): Promise<Stat> {
  const node = await resolvePath(fs, path, signal)
  if (node.kind === 'directory') {
    const item = toItem(await fs.tree.listed(node))
    const none = { root: null, version: null, tag: null, type: undefined }
    const replicas = { wanted: fs.blocks.keepers.length, confirmed: 1 + fs.members.compared.size }
    return { ...item, ...none, replicas, versions: 1, writtenBy: null, conflicts: [] }
  }
  const { id, record, body, row } = node
  const { wanted, confirmed } = await raceSignal(copiesOf(fs, node), signal)
  const conflicts = await conflictsOf(fs, node)
  const item = toItem(node)
  return {
    ...item,
    conflict: item.conflict || conflicts.length > 0,
    root: cidOf(record)?.toString() ?? null,
    version: toHex(record.id),
    tag: tagOfContent(record),
    type: body?.type,
    replicas: { wanted, confirmed },
    versions: await fs.catalog.versions.count(id, row.state),
    writtenBy: writerOf(fs, record),
    conflicts
  }
}

/** Returns what shows beside a file. */
async function conflictsOf(fs: FsContext, node: FileNode): Promise<ConflictItem[]> {
  const parent = await fs.tree.resolve(node.path.slice(0, -1))
  const conflicts: ConflictItem[] = []
  if (parent?.kind !== 'directory') return conflicts
  for await (const { path, record, body } of fs.tree.beside(parent, node)) {
    const facts = { path: formatPath(path), version: toHex(record.id), size: body?.size ?? 0 }
    conflicts.push({ ...facts, writtenBy: writerOf(fs, record) })
  }
  return conflicts
}

function writerOf({ members }: Pick<FsContext, 'members'>, { written }: EntryRecord): Writer {
  const peerId = peerIdOf(written.author)
  return { peerId, name: members.member(peerId)?.name ?? null, at: new Date(hlcMs(written.hlc)) }
}
