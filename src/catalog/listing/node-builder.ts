import type { Path } from '../../format/path.ts'
import { compareBytes } from '../../util/bytes.ts'
import { pushAll } from '../../util/push-all.ts'
import type { Bodies } from '../bodies.ts'
import type { Entries } from '../entries.ts'
import { conflictName, shownName } from '../names.ts'
import type { DirectoryNode, FileNode, TreeNode } from '../tree-node.ts'
import type { Child, NameGroup } from './name-groups.ts'

export interface NodeBuilderOptions {
  entries: Entries
  bodies: Bodies
}

/** How a file is shown beside others with the same name. */
interface Precedence {
  /** True if the file keeps the name, because no other file or directory with the name comes before it. */
  isFirst: boolean
  /** The other files with this name if this file keeps the name, or else none. */
  rivals: Uint8Array[]
}

/** Makes the nodes that show entries: it decides their names, their contents, and which of them are conflicts. */
export class NodeBuilder {
  readonly #options: NodeBuilderOptions

  constructor(options: NodeBuilderOptions) {
    this.#options = options
  }

  /** Returns the nodes of one name. A directory, or else a file, has the name itself; the others are conflicts. */
  async ofGroup({ directories, files }: NameGroup, parent: Path): Promise<TreeNode[]> {
    const nodes: TreeNode[] = []
    files.sort(byPrecedence)
    if (directories.length > 0) nodes.push(await this.#directory(directories, parent))
    for (const [i, { entry }] of files.entries()) {
      const isFirst = i === 0 && directories.length === 0
      const rivals = isFirst ? files.slice(1).map(other => other.entry) : []
      pushAll(nodes, await this.#file(entry, parent, { isFirst, rivals }))
    }
    return nodes
  }

  /** Returns the nodes of a file that no directory shows. They are shown at `/`, as conflicts. */
  ofUnreachableFile(id: Uint8Array): Promise<FileNode[]> {
    return this.#file(id, [], { isFirst: false, rivals: [] })
  }

  /** Returns the node of a directory that no other directory shows. It is shown at `/`, as a conflict. */
  async ofUnreachableDirectory(id: Uint8Array): Promise<DirectoryNode> {
    const body = await this.#options.entries.placeBody(id)
    const name = conflictName(shownName(body, id), id)
    return { kind: 'directory', path: [name], ids: [id], mtime: body?.mtime ?? 0, isConflict: true }
  }

  async #directory(directories: readonly Child[], parent: Path): Promise<DirectoryNode> {
    const ids = directories.map(({ entry }) => entry).sort(compareBytes)
    const bodies = await Promise.all(ids.map(id => this.#options.entries.placeBody(id)))
    const name = shownName(bodies[0], ids[0] as Uint8Array)
    const mtime = bodies.reduce((latest, body) => Math.max(latest, body?.mtime ?? 0), 0)
    return { kind: 'directory', path: [...parent, name], ids, mtime, isConflict: false }
  }

  /** Returns a file and its conflict versions. */
  async #file(id: Uint8Array, parent: Path, { isFirst, rivals }: Precedence): Promise<FileNode[]> {
    const { entries, bodies } = this.#options
    const found = await entries.get(id)
    if (found === undefined) return []
    const { row, shown } = found
    if (shown.content === undefined) return []
    const name = shownName(await bodies.open(shown.place), id)
    const own = isFirst ? name : conflictName(name, id)
    const contents = [shown.content, ...shown.conflicts]
    return Promise.all(
      contents.map(async (record, i): Promise<FileNode> => {
        const body = await bodies.open(record)
        return {
          kind: 'file',
          path: [...parent, i === 0 ? own : conflictName(name, record.id)],
          id,
          row,
          shown,
          record,
          body,
          isConflict: i > 0 || !isFirst || row.isDamaged || body === undefined,
          rivals: i === 0 ? rivals : []
        }
      })
    )
  }
}

// A file that can be read comes before one that cannot. Among the rest, the file that was placed there last comes
// first.
function byPrecedence(a: Child, b: Child): number {
  if (a.isDamaged !== b.isDamaged) return a.isDamaged ? 1 : -1
  return compareBytes(b.placed, a.placed) || compareBytes(a.entry, b.entry)
}
