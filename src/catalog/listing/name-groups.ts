import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { toHex } from '../../util/bytes.ts'
import { OverLimitError } from '../../util/errors.ts'
import { LIST_MAX } from '../constants.ts'
import { endsCycle } from '../rows/cycles.ts'
import { type DirectoryValue, decodeDirectoryValue, directoryKey, entryOfKey, nameKeyOf } from '../rows/keys.ts'
import { type PlacedEntry, underName } from '../rows/name-rows.ts'

/** An entry in a directory, with the value of its row there. */
export interface Child extends DirectoryValue {
  entry: Uint8Array
}

/** All entries with the same name in one directory. */
export interface NameGroup {
  directories: Child[]
  files: Child[]
}

export interface NameGroupsOptions {
  index: IndexDb
}

/** Reads the entries of directories, grouped by name. The groups contain only entries that are shown there. */
export class NameGroups {
  readonly #options: NameGroupsOptions

  constructor(options: NameGroupsOptions) {
    this.#options = options
  }

  /**
   * Returns the groups of all names in some directories that are shown as one. Throws an `OverLimitError` if the
   * directories hold more than `LIST_MAX` entries.
   */
  async all(parents: readonly Uint8Array[]): Promise<NameGroup[]> {
    const groups = new Map<string, NameGroup>()
    let count = 0
    for await (const { parent, key, placed } of this.#rows(parents)) {
      const name = toHex(nameKeyOf(key).subarray(1 + parent.byteLength))
      const group = groups.get(name) ?? emptyGroup()
      groups.set(name, group)
      if (await this.#add(group, placed)) assertListable(++count)
    }
    return [...groups.values()]
  }

  /** Returns the group for the name with this hash. It looks in all of `parents`, which are shown as one directory. */
  async one(parents: readonly Uint8Array[], hash: Uint8Array): Promise<NameGroup> {
    const { index } = this.#options
    const group = emptyGroup()
    for (const parent of parents)
      for (const placed of await underName(index, parent, hash)) await this.#add(group, placed)
    return group
  }

  async *#rows(
    parents: readonly Uint8Array[]
  ): AsyncGenerator<{ parent: Uint8Array; key: Uint8Array; placed: PlacedEntry }> {
    const { index } = this.#options
    for (const parent of parents)
      for await (const { key, value } of index.range(directoryKey(TABLES.children, parent)))
        yield { parent, key, placed: { entry: entryOfKey(key), value } }
  }

  /** Adds an entry to the group of its name if it is shown there. Returns true if the entry was added. */
  async #add(group: NameGroup, { entry, value }: PlacedEntry): Promise<boolean> {
    const child = { ...decodeDirectoryValue(value), entry }
    // A directory that ends a cycle is shown at `/` instead. If it were shown below itself, the tree would have no end.
    if (child.kind === 'directory' && (await endsCycle(this.#options.index, entry))) return false
    if (child.kind === 'directory') group.directories.push(child)
    else group.files.push(child)
    return true
  }
}

/** Throws an `OverLimitError` if a listing has too many entries to sort in memory. */
export function assertListable(count: number): void {
  if (count > LIST_MAX) throw new OverLimitError(`a directory with more than ${LIST_MAX} entries is not listed`)
}

function emptyGroup(): NameGroup {
  return { directories: [], files: [] }
}
