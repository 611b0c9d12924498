import type { IndexDb } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import type { Path } from '../format/path.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import type { Bodies } from './bodies.ts'
import { Entries } from './entries.ts'
import { NotADirectoryError } from './errors.ts'
import type { Shown } from './heads.ts'
import { Listing, type ListOptions } from './listing/listing.ts'
import { NameGroups } from './listing/name-groups.ts'
import { NodeBuilder } from './listing/node-builder.ts'
import { Unreachable } from './listing/unreachable.ts'
import { type Names, type Substitute, substitutesIn } from './names.ts'
import { readFileCount } from './rows/counts-row.ts'
import { endsCycle } from './rows/cycles.ts'
import type { EntryRow } from './rows/entry-row.ts'
import { decodeDirectoryValue, directoryKey, entryOfKey } from './rows/keys.ts'
import { type DirectoryNode, type FileNode, type ListedNode, rootNode, type TreeNode } from './tree-node.ts'

export { rootNode } from './tree-node.ts'

export interface TreeOptions {
  index: IndexDb
  bodies: Bodies
  names: Names
  clock: Clock
  /** Returns the position of an epoch in the chain of epochs. */
  depthOf: (epoch: Uint8Array) => number
}

/** An entry directly below a directory. */
export interface ChildEntry {
  id: Uint8Array
  kind: 'file' | 'directory'
  /** The key of its row, from which a later call can continue. */
  key: Uint8Array
}

/** Reads the tree in the form that paths and listings show. */
export class Tree {
  readonly #index: IndexDb
  readonly #bodies: Bodies
  readonly #entries: Entries
  readonly #groups: NameGroups
  readonly #builder: NodeBuilder
  readonly #unreachable: Unreachable
  readonly #listing: Listing

  constructor({ index, bodies, names, clock, depthOf }: TreeOptions) {
    this.#index = index
    this.#bodies = bodies
    const entries = new Entries({ index, bodies, depthOf })
    const groups = new NameGroups({ index, names })
    const builder = new NodeBuilder({ entries, bodies, groups })
    const unreachable = new Unreachable({ index, clock, entries, bodies, groups, builder })
    this.#entries = entries
    this.#groups = groups
    this.#builder = builder
    this.#unreachable = unreachable
    this.#listing = new Listing({ groups, builder, unreachable })
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

  /**
   * Returns the node that a directory shows under a name, or undefined. An entry that has the name as its own comes
   * first. Otherwise the name may be that of a conflict. The index does not have such names, so this looks beside the
   * entry whose conflict it would be.
   */
  async child(parent: DirectoryNode, name: string): Promise<TreeNode | undefined> {
    const own = await this.#builder.first(await this.#groups.one(parent.ids, name), parent)
    if (own !== undefined) return own
    for (const substitute of substitutesIn(name))
      for await (const node of this.#beside(parent, substitute)) if (node.path.at(-1) === name) return node
    return undefined
  }

  /** Yields the nodes that a directory shows, in the order of the names' bytes. See `Listing`. */
  list(directory: DirectoryNode, options: ListOptions = {}): AsyncGenerator<ListedNode> {
    return this.#listing.nodes(directory, options)
  }

  /** Returns a node with everything that a listing says about it. */
  listed(node: TreeNode): Promise<ListedNode> {
    return this.#builder.listed(node)
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

  /**
   * Yields the other contents that show beside a file in its directory: as conflicts of it, or, if the node is a
   * conflict itself, the file and its other conflicts.
   */
  async *beside(parent: DirectoryNode, { id, record, nameHash }: FileNode): AsyncGenerator<FileNode> {
    const name = nameHash === undefined ? undefined : await this.nameOf(id)
    if (name === undefined) return
    for (const node of await this.#builder.ofGroup(await this.#groups.one(parent.ids, name), parent))
      if (node.kind === 'file' && !equalBytes(node.record.id, record.id)) yield node
  }

  /** Returns the name that an entry has in its directory, also if it shows there as a conflict under another one. */
  async nameOf(id: Uint8Array): Promise<string | undefined> {
    const found = await this.#entries.get(id)
    return found === undefined ? undefined : this.#groups.nameOf(id, found.row)
  }

  /** Returns the number of files that are not deleted. */
  countFiles(): Promise<number> {
    return readFileCount(this.#index)
  }

  /** Yields nodes. One of them may be the conflict that has this name. */
  async *#beside(parent: DirectoryNode, substitute: Substitute): AsyncGenerator<TreeNode> {
    const bases = new Set([substitute.base])
    const cut = substitute.isCut ? await this.#nameOf(parent, substitute) : undefined
    if (cut !== undefined) bases.add(cut)
    for (const base of bases) yield* await this.#builder.ofGroup(await this.#groups.one(parent.ids, base), parent)
    if (parent.path.length === 0) yield* await this.#unreachable.candidates(substitute)
  }

  /** Returns the own name of the entry in a directory to which these digits belong. */
  async #nameOf({ ids }: DirectoryNode, { digits }: Substitute): Promise<string | undefined> {
    const id = await this.#bodies.entryWith(digits)
    const row = id === undefined ? undefined : (await this.#entries.get(id))?.row
    if (id === undefined || row === undefined || !ids.some(parent => equalBytes(parent, row.parent))) return undefined
    return this.#groups.nameOf(id, row)
  }
}
