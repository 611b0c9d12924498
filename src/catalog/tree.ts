import type { IndexDb } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import { ROOT_ENTRY } from '../format/entry.ts'
import type { Path } from '../format/path.ts'
import { compareBytes, utf8 } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { pushAll } from '../util/push-all.ts'
import type { Bodies } from './bodies.ts'
import { LIST_BATCH } from './constants.ts'
import { Entries } from './entries.ts'
import { NotADirectoryError } from './errors.ts'
import type { Shown } from './heads.ts'
import { assertListable, NameGroups } from './listing/name-groups.ts'
import { NodeBuilder } from './listing/node-builder.ts'
import { Unreachable } from './listing/unreachable.ts'
import { isSubstituteName, type Names } from './names.ts'
import { readFileCount } from './rows/counts-row.ts'
import { endsCycle } from './rows/cycles.ts'
import type { EntryRow } from './rows/entry-row.ts'
import { decodeDirectoryValue, directoryKey, entryOfKey } from './rows/keys.ts'
import type { DirectoryNode, TreeNode } from './tree-node.ts'

export interface TreeOptions {
  index: IndexDb
  bodies: Bodies
  names: Names
  clock: Clock
  /** Returns the position of an epoch in the chain of epochs. */
  depthOf: (epoch: Uint8Array) => number
}

/** Reads the tree in the form that paths and listings show. */
export class Tree {
  readonly #index: IndexDb
  readonly #names: Names
  readonly #entries: Entries
  readonly #groups: NameGroups
  readonly #builder: NodeBuilder
  readonly #unreachable: Unreachable

  constructor({ index, bodies, names, clock, depthOf }: TreeOptions) {
    this.#index = index
    this.#names = names
    this.#entries = new Entries({ index, bodies, depthOf })
    this.#groups = new NameGroups({ index })
    this.#builder = new NodeBuilder({ entries: this.#entries, bodies })
    const [entries, builder] = [this.#entries, this.#builder]
    this.#unreachable = new Unreachable({ index, clock, entries, builder })
  }

  /**
   * Returns the node at a path, or undefined. Throws a `NotADirectoryError` if a part of the path before the last one
   * is a file.
   */
  async resolve(path: Path): Promise<TreeNode | undefined> {
    let node: TreeNode = rootNode()
    for (const name of path) {
      if (node.kind === 'file') throw new NotADirectoryError('a part of this path is a file, not a directory')
      const child: TreeNode | undefined = await this.child(node, name)
      if (child === undefined) return undefined
      node = child
    }
    return node
  }

  /** Returns the node that a directory shows under a name, or undefined. */
  async child(parent: DirectoryNode, name: string): Promise<TreeNode | undefined> {
    const group = await this.#groups.one(parent.ids, this.#names.hash(name))
    const [node] = await this.#builder.ofGroup(group, parent.path)
    if (node !== undefined) return node
    // The index has no row for the name of a conflict, nor for that of an entry that was damaged later.
    if (!isSubstituteName(name)) return undefined
    for await (const node of this.list(parent)) if (node.path.at(-1) === name) return node
    return undefined
  }

  /** Yields the nodes that a directory shows, in the order of the names' bytes. */
  async *list(directory: DirectoryNode): AsyncGenerator<TreeNode> {
    const nodes: TreeNode[] = []
    const groups = await this.#groups.all(directory.ids)
    for (let start = 0; start < groups.length; start += LIST_BATCH) {
      const some = groups.slice(start, start + LIST_BATCH)
      for (const shown of await Promise.all(some.map(group => this.#builder.ofGroup(group, directory.path))))
        pushAll(nodes, shown)
    }
    if (directory.path.length === 0) {
      for await (const node of this.#unreachable.nodes()) {
        nodes.push(node)
        assertListable(nodes.length)
      }
    }
    const keyed = nodes.map(node => ({ node, name: utf8(node.path.at(-1) as string) }))
    keyed.sort((a, b) => compareBytes(a.name, b.name))
    for (const { node } of keyed) yield node
  }

  /** Returns an entry by its id, even if it is deleted. Returns undefined if no record of it has arrived. */
  entry(id: Uint8Array): Promise<{ row: EntryRow; shown: Shown } | undefined> {
    return this.#entries.get(id)
  }

  /** Yields the entries that are shown directly below one directory, by their ids: those after the key `after`. */
  async *childrenOf(directory: Uint8Array, after?: Uint8Array): AsyncGenerator<ChildEntry> {
    for await (const { key, value } of this.#index.range(directoryKey(TABLES.children, directory), { after })) {
      const id = entryOfKey(key)
      const { kind } = decodeDirectoryValue(value)
      if (kind === 'directory' && (await endsCycle(this.#index, id))) continue
      yield { id, kind, key }
    }
  }

  /** Returns the number of files that are not deleted. */
  countFiles(): Promise<number> {
    return readFileCount(this.#index)
  }
}

/** An entry directly below a directory. */
export interface ChildEntry {
  id: Uint8Array
  kind: 'file' | 'directory'
  /** Its row, which says where a later call goes on. */
  key: Uint8Array
}

export function rootNode(): DirectoryNode {
  return { kind: 'directory', path: [], ids: [ROOT_ENTRY], mtime: 0, isConflict: false }
}
