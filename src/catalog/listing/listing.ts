import { LIST_BATCH, LIST_NAMES_MAX, LIST_NAMES_MIN } from '../constants.ts'
import type { DirectoryNode, TreeNode } from '../tree-node.ts'
import type { NameGroup, NameGroups } from './name-groups.ts'
import type { NodeBuilder } from './node-builder.ts'
import { SortedNames } from './sorted-names.ts'
import type { Unreachable } from './unreachable.ts'

export interface ListingOptions {
  groups: NameGroups
  builder: NodeBuilder
  unreachable: Unreachable
  /** Returns the node that a directory shows under a name. */
  child: (parent: DirectoryNode, name: string) => Promise<TreeNode | undefined>
  /** The most names that are in memory at once. */
  namesMax?: number
}

export interface ListOptions {
  signal?: AbortSignal | undefined
  /** How many listings of directories further up stay open meanwhile. Each further one holds half as many names. */
  open?: number | undefined
}

/** Separates a name from what the listing knows about it. No name has this character, and none is less. */
const NUL = '\0'

/**
 * Lists directories in the order of the names' bytes, in bounded memory. It first reads the names alone, and sorts them.
 * Then it looks up one after the other, as any look-up of that name does, so that a listing and the look-ups agree.
 *
 * A listing is no snapshot: of what changes meanwhile, it shows some. What is there all the time is shown once.
 */
export class Listing {
  readonly #options: ListingOptions

  constructor(options: ListingOptions) {
    this.#options = options
  }

  /** Yields the nodes that a directory shows. */
  async *nodes(directory: DirectoryNode, { signal, open = 0 }: ListOptions = {}): AsyncGenerator<TreeNode> {
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
        for (const node of await Promise.all(some.map(key => this.#node(directory, key))))
          if (node !== undefined) yield node
      }
    }
  }

  /**
   * Yields a text for each node: its name, then NUL, then the position of the only directory among those shown as one
   * that has an entry of this name, if the name needs no further look. These texts are in the order of the names.
   */
  async *#keys(directory: DirectoryNode): AsyncGenerator<string> {
    const { groups, builder, unreachable } = this.#options
    for await (const group of groups.all(directory.ids)) {
      const only = onlyChild(group)
      if (only !== undefined) yield keyOf(group.name, only.parent)
      else for (const node of await builder.ofGroup(group, directory)) yield keyOf(nameOf(node))
    }
    if (directory.path.length === 0) for await (const node of unreachable.nodes()) yield keyOf(nameOf(node))
  }

  async #node(directory: DirectoryNode, key: string): Promise<TreeNode | undefined> {
    const { groups, builder, child } = this.#options
    const [bytes, parent] = key.split(NUL) as [string, string]
    const name = Buffer.from(bytes, 'latin1').toString('utf8')
    if (parent === '') return child(directory, name)
    const id = directory.ids[Number(parent)] as Uint8Array
    const [node] = await builder.ofGroup(await groups.one([id], name), directory)
    return node
  }
}

/** Returns the only entry of a group, if nothing else can show because of it. */
function onlyChild({ directories, files }: NameGroup): NameGroup['files'][number] | undefined {
  const [only, ...others] = [...directories, ...files]
  return others.length > 0 || only?.hasVersions === true ? undefined : only
}

function nameOf(node: TreeNode): string {
  return node.path.at(-1) as string
}

function keyOf(name: string, parent?: number): string {
  return `${Buffer.from(name, 'utf8').toString('latin1')}${NUL}${parent ?? ''}`
}

/** Returns a text after all keys of the name in this key, and before those of the next name. */
function pastName(key: string): string {
  return `${key.split(NUL)[0]}${NUL}\u00ff`
}
