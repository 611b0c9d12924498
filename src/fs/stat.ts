import { tagOfContent } from '../catalog/content-tag.ts'
import { cidOf } from '../catalog/projection.ts'
import type { Path } from '../format/path.ts'
import { toHex } from '../util/bytes.ts'
import { raceSignal } from '../util/deadline.ts'
import type { FsContext } from './context.ts'
import { copiesOf } from './copies.ts'
import { toItem } from './list.ts'
import { resolvePath } from './resolve.ts'
import type { AbortOptions, Stat } from './types.ts'

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
    return { ...item, ...none, replicas, versions: 1 }
  }
  const { id, record, body, row } = node
  const { wanted, confirmed } = await raceSignal(copiesOf(fs, node), signal)
  return {
    ...toItem(node),
    root: cidOf(record)?.toString() ?? null,
    version: toHex(record.id),
    tag: tagOfContent(record),
    type: body?.type,
    replicas: { wanted, confirmed },
    versions: await fs.catalog.versions.count(id, row.state)
  }
}
