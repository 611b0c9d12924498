import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { Path } from '../../format/path.ts'
import { equalBytes } from '../../util/bytes.ts'
import { DELETED_DIRECTORIES_MAX } from '../constants.ts'
import type { Names } from '../names.ts'
import type { Tree } from '../tree.ts'
import { type DirectoryNode, rootNode, type TreeNode } from '../tree-node.ts'
import { type DeletedEntry, deletedUnder } from './deleted-entries.ts'

export interface PastTreeOptions {
  index: Pick<IndexDb, 'range'>
  names: Names
  tree: Pick<Tree, 'child'>
}

/**
 * A directory as it shows, together with the deleted directories that were at the same path, all as one. The ids of
 * those that show come first, and then those that were deleted last.
 */
export interface PastDirectory extends DirectoryNode {
  /** How many of the ids show. */
  shownCount: number
}

/** A path below a directory, whatever is or was there. */
export interface PastPlace {
  parent: PastDirectory
  name: string
  /** What the path shows now. */
  shown: TreeNode | undefined
}

/**
 * Finds deleted entries by their paths. A path leads through deleted directories as if they were still there. It may
 * lead to several deleted entries, since a name can be used again.
 */
export class PastTree {
  readonly #options: PastTreeOptions

  constructor(options: PastTreeOptions) {
    this.#options = options
  }

  /** Returns the directory at a path; undefined if there never was one. */
  async directory(path: Path): Promise<PastDirectory | undefined> {
    let found: PastDirectory = { ...rootNode(), shownCount: 1 }
    for (const name of path) {
      const next = await this.childDirectory(found, name)
      if (next === undefined) return undefined
      found = next
    }
    return found
  }

  /** Returns the directory that another one has, or had, under a name. */
  async childDirectory(parent: PastDirectory, name: string): Promise<PastDirectory | undefined> {
    const { index, names, tree } = this.#options
    const shown = await tree.child(parent, name)
    const ids = shown?.kind === 'directory' ? [...shown.ids] : []
    const shownCount = ids.length
    const nameHash = names.hash(name)
    for await (const { id } of deletedUnder(index, parent.ids, nameHash, [TABLES.deletedDirectories])) {
      if (ids.length >= shownCount + DELETED_DIRECTORIES_MAX) break
      ids.push(id)
    }
    if (ids.length === 0) return undefined
    return { kind: 'directory', path: [...parent.path, name], nameHash, ids, isConflict: false, shownCount }
  }

  /** Returns what is or was at a path; undefined if there never was a directory above it, and for `/`. */
  async place(path: Path): Promise<PastPlace | undefined> {
    const parent = await this.directory(path.slice(0, -1))
    const name = path.at(-1)
    if (parent === undefined || name === undefined) return undefined
    return { parent, name, shown: await this.#options.tree.child(parent, name) }
  }

  /** Yields the deleted entries that were at a path, those that were there last first. */
  deletedAt({ parent, name }: Pick<PastPlace, 'parent' | 'name'>): AsyncGenerator<DeletedEntry> {
    const { index, names } = this.#options
    return deletedUnder(index, parent.ids, names.hash(name))
  }
}

/** Returns true if moves have made a cycle, so that a directory is one of those on the way to it. */
export function isOnWay(child: DirectoryNode, way: readonly DirectoryNode[]): boolean {
  return way.some(({ ids }) => ids.some(id => child.ids.some(other => equalBytes(id, other))))
}
