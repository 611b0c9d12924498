import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { ROOT_ENTRY } from '../../format/entry.ts'
import { equalBytes } from '../../util/bytes.ts'
import type { Bodies } from '../bodies.ts'
import { FEED_CONFLICTS_MAX } from '../constants.ts'
import { Entries } from '../entries.ts'
import { type NameGroup, NameGroups } from '../listing/name-groups.ts'
import { NodeBuilder } from '../listing/node-builder.ts'
import type { Names } from '../names.ts'
import { directoryKey } from '../rows/keys.ts'
import type { FileNode } from '../tree-node.ts'
import type { Paths } from './paths.ts'

export interface NameViewOptions {
  index: IndexDb
  names: Names
  bodies: Bodies
  depthOf: (epoch: Uint8Array) => number
}

/** Says what shows under one name in a directory, according to the index. */
export class NameView {
  readonly #index: IndexDb
  readonly #names: Names
  readonly #groups: NameGroups
  readonly #builder: NodeBuilder

  constructor({ index, names, bodies, depthOf }: NameViewOptions) {
    this.#index = index
    this.#names = names
    this.#groups = new NameGroups({ index, names })
    this.#builder = new NodeBuilder({ entries: new Entries({ index, bodies, depthOf }), bodies, groups: this.#groups })
  }

  /** Returns the ids of the directories that show as one with this directory. */
  async idsOf(directory: Uint8Array, paths: Paths): Promise<Uint8Array[]> {
    const place = await paths.of(directory)
    if (typeof place === 'string' || !place.isShared) return [directory]
    let ids = [ROOT_ENTRY]
    for (const name of place.path) {
      const { directories } = await this.#groups.one(ids, name)
      ids = directories.map(({ entry }) => entry)
    }
    return ids.some(id => equalBytes(id, directory)) ? ids : [directory]
  }

  /** Returns all entries of a name. `isLarge` first: their number has no limit. */
  group(ids: readonly Uint8Array[], name: string): Promise<NameGroup> {
    return this.#groups.one(ids, name)
  }

  /** Returns the files that show for a name: one under the name itself, the others as conflicts. */
  async files(ids: readonly Uint8Array[], name: string): Promise<FileNode[]> {
    const group = await this.group(ids, name)
    const directory = { kind: 'directory' as const, path: [], nameHash: undefined, ids: [...ids], isConflict: false }
    const nodes = await this.#builder.ofGroup(group, directory)
    return nodes.filter((node): node is FileNode => node.kind === 'file')
  }

  /** Returns a file as it shows under its own name; undefined if it is deleted. */
  file(entry: Uint8Array): Promise<FileNode | undefined> {
    return this.#builder.file(entry)
  }

  /** Returns true if so many entries have a name that nobody should look at all of them for one change. */
  async isLarge(ids: readonly Uint8Array[], name: string): Promise<boolean> {
    const hash = this.#names.hash(name)
    let left = FEED_CONFLICTS_MAX
    for (const id of ids)
      for await (const _ of this.#index.range(directoryKey(TABLES.children, id, hash), { limit: left + 1 }))
        if (left-- === 0) return true
    return false
  }
}
