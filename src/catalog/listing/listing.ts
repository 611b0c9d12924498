import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import { LIST_BATCH, LIST_NAMES_MAX, LIST_NAMES_MIN } from '../constants.ts'
import type { DirectoryNode, ListedNode, TreeNode } from '../tree-node.ts'
import type { NameGroup, NameGroups } from './name-groups.ts'
import type { NodeBuilder } from './node-builder.ts'
import { SortedNames } from './sorted-names.ts'
import type { Unreachable } from './unreachable.ts'

export interface ListingOptions {
  groups: NameGroups
  builder: NodeBuilder
  unreachable: Unreachable
  /** The most names that are in memory at once. */
  namesMax?: number
}

export interface ListOptions {
  signal?: AbortSignal | undefined
  /**
   * The number of listings of directories further up that are open at the same time. Each one halves the number of
   * names that are held.
   */
  open?: number | undefined
}

/** Separates a name from what the listing knows about it. No name contains this character, and no character is less. */
const NUL = '\0'
/** The first character after the NUL if the node is a conflict. */
const CONFLICT = 'c'

/**
 * Lists directories in the order of the names' bytes, in bounded memory. It first reads the names alone, and sorts
 * them. Then it looks up each name. To name the entries that show as conflicts, all entries of one name are needed. It
 * reads these together with the names, so that each later look-up reads one entry, however many have the same name.
 *
 * A listing is no snapshot: it may show some changes that happen meanwhile and not others. Every entry that is there
 * throughout is shown once.
 */
export class Listing {
  readonly #options: ListingOptions

  constructor(options: ListingOptions) {
    this.#options = options
  }

  /** Yields the nodes that a directory shows. */
  async *nodes(directory: DirectoryNode, { signal, open = 0 }: ListOptions = {}): AsyncGenerator<ListedNode> {
    const { namesMax = Math.max(LIST_NAMES_MIN, Math.floor(LIST_NAMES_MAX / 2 ** open)) } = this.#options
    for (let after = '', isEnd = false; !isEnd; ) {
      const names = new SortedNames(namesMax)
      for await (const key of this.#keys(directory)) {
        signal?.throwIfAborted()
        if (key > after) names.add(key)
      }
      const keys = names.take()
      isEnd = !names.isCut
      after = pastName(keys.at(-1) ?? '')
      for (let start = 0; start < keys.length; start += LIST_BATCH) {
        const some = keys.slice(start, start + LIST_BATCH)
        for (const node of await Promise.all(some.map(key => this.#listed(directory, key))))
          if (node !== undefined) yield node
        // Let other work run: nearly all reads of the index resolve in the same turn of the event loop.
        await new Promise(resolve => setImmediate(resolve))
      }
    }
  }

  /**
   * Yields a text for each node. It begins with the node's name and NUL. The rest serves to find the node. For a
   * conflict, that is its entry and its record. For any other node that alone has the name, it is the position of its
   * parent among the directories that show as one. Otherwise nothing follows. If these texts are sorted, the names are
   * in order.
   */
  async *#keys(directory: DirectoryNode): AsyncGenerator<string> {
    const { groups, builder, unreachable } = this.#options
    for await (const group of groups.all(directory.ids)) {
      const only = onlyChild(group)
      if (only !== undefined) yield keyOf(group.name, only.parent)
      else
        for (const node of await builder.ofGroup(group, directory))
          yield nameOf(node) === group.name ? keyOf(group.name) : keyOfConflict(node)
    }
    if (directory.path.length === 0) for await (const node of unreachable.nodes()) yield keyOfConflict(node)
  }

  async #listed(directory: DirectoryNode, key: string): Promise<ListedNode | undefined> {
    const node = await this.#node(directory, key)
    return node === undefined ? undefined : this.#options.builder.listed(node)
  }

  async #node(directory: DirectoryNode, key: string): Promise<TreeNode | undefined> {
    const { groups, builder } = this.#options
    const end = key.indexOf(NUL)
    const [name, rest] = [Buffer.from(key.slice(0, end), 'latin1').toString('utf8'), key.slice(end + 1)]
    if (rest.startsWith(CONFLICT)) {
      const ids = Buffer.from(rest.slice(CONFLICT.length), 'latin1')
      const record = ids.byteLength === ENTRY_ID_BYTES ? undefined : ids.subarray(ENTRY_ID_BYTES)
      return builder.conflict(ids.subarray(0, ENTRY_ID_BYTES), record, [...directory.path, name])
    }
    const parents = rest === '' ? directory.ids : [directory.ids[Number(rest)] as Uint8Array]
    return builder.first(await groups.one(parents, name), directory)
  }
}

/** Returns the only entry of a group, or undefined if there are others or if conflict versions of it may show. */
function onlyChild({ directories, files }: NameGroup): NameGroup['files'][number] | undefined {
  const [only, ...others] = [...directories, ...files]
  return others.length > 0 || only?.hasVersions === true ? undefined : only
}

function nameOf(node: TreeNode): string {
  return node.path.at(-1) as string
}

function keyOf(name: string, parent?: number): string {
  return Buffer.from(`${name}${NUL}${parent ?? ''}`, 'utf8').toString('latin1')
}

function keyOfConflict(node: TreeNode): string {
  const ids = node.kind === 'file' ? [node.id, node.record.id] : node.ids.slice(0, 1)
  return keyOf(nameOf(node)) + CONFLICT + Buffer.concat(ids).toString('latin1')
}

/** Returns a text after all keys of the name in this key, and before those of the next name. */
function pastName(key: string): string {
  return `${key.slice(0, key.indexOf(NUL) + 1)}\u00ff`
}
