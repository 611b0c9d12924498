import { tagOfContent } from '../catalog/content-tag.ts'
import { NotFoundError } from '../catalog/errors.ts'
import { cidOf } from '../catalog/projection.ts'
import type { FileNode } from '../catalog/tree.ts'
import type { Path } from '../format/path.ts'
import { toHex } from '../util/bytes.ts'
import { type FsContext, wantedCopies } from './context.ts'
import { toItem } from './list.ts'
import type { Stat } from './types.ts'

/** What is known of a file or directory, and how many members confirm, asked now, that they hold all of it. */
export async function statPath(fs: FsContext, path: Path): Promise<Stat> {
  const node = await fs.tree.resolve(path)
  if (node === undefined) throw new NotFoundError('nothing is at this path')
  const item = toItem(node)
  if (node.kind === 'directory') {
    const copies = fs.blocks.keeperCount
    const none = { root: null, version: null, tag: null, type: undefined, mode: undefined }
    // A directory is its record alone, and records are everywhere.
    return { ...item, ...none, replicas: { wanted: copies, confirmed: 1 + fs.members.compared.size }, versions: 1 }
  }
  const { record, body, row } = node
  return {
    ...item,
    root: cidOf(record)?.toString() ?? null,
    version: toHex(record.id),
    tag: tagOfContent(record),
    type: body?.type,
    mode: body?.mode,
    replicas: await copiesOfFile(fs, node),
    versions: row.state.writes
  }
}

async function copiesOfFile(fs: FsContext, { shown, record }: FileNode): Promise<Stat['replicas']> {
  const replicas = wantedCopies(shown.replicas)
  const wanted = Math.max(1, Math.min(replicas, fs.blocks.keeperCount))
  const root = cidOf(record)
  if (root !== undefined) return { wanted, confirmed: await fs.blocks.confirmed(root) }
  return { wanted, confirmed: 1 + (await fs.sync.holders(record.id)).length }
}
