import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { toHex } from '../../util/bytes.ts'
import { OverLimitError } from '../../util/errors.ts'
import { LIST_MAX } from '../constants.ts'
import { Reachability } from '../reachability.ts'
import {
  DIRECTORY_TABLES,
  type DirectoryTable,
  type DirectoryValue,
  decodeDirectoryValue,
  directoryKey,
  entryOfKey,
  nameKeyOf
} from '../rows/keys.ts'
import { type PlacedEntry, underName } from '../rows/name-rows.ts'

/** An entry in a directory, with the facts from its row there. */
export interface Child extends DirectoryValue {
  entry: Uint8Array
}

/** All entries of one name in one directory. */
export interface NameGroup {
  directories: Child[]
  files: Child[]
}

export interface NameGroupsOptions {
  index: IndexDb
  /** False if the index has no deleted directories. They are not looked for then. */
  hasDeleted: () => boolean
}

/** Reads the entries of directories, grouped by name. The groups have only entries that show there. */
export class NameGroups {
  readonly #options: NameGroupsOptions

  constructor(options: NameGroupsOptions) {
    this.#options = options
  }

  /** All names in some directories that show as one. Throws an `OverLimitError` if they hold more than `LIST_MAX`. */
  async all(parents: readonly Uint8Array[]): Promise<NameGroup[]> {
    const { index } = this.#options
    const groups = new Map<string, NameGroup>()
    const reachability = new Reachability(index)
    let count = 0
    for await (const { parent, key, placed } of this.#rows(parents)) {
      const name = toHex(nameKeyOf(key).subarray(1 + parent.byteLength))
      const group = groups.get(name) ?? emptyGroup()
      groups.set(name, group)
      if (await this.#add(group, placed, reachability)) assertListable(++count)
    }
    return [...groups.values()]
  }

  /** One name, by its hash, in some directories that show as one. */
  async one(parents: readonly Uint8Array[], hash: Uint8Array): Promise<NameGroup> {
    const { index } = this.#options
    const reachability = new Reachability(index)
    const group = emptyGroup()
    for (const parent of parents)
      for (const placed of await underName(index, parent, hash)) await this.#add(group, placed, reachability)
    return group
  }

  /** True if something that is not deleted is below a directory, at any depth. */
  async hasLiveBelow(directory: Uint8Array): Promise<boolean> {
    const { index } = this.#options
    // Visit each directory once, since deleted ones may be in a cycle too. The loop also visits those that it adds.
    const below = new Map([[toHex(directory), directory]])
    for (const at of below.values()) {
      if (await index.hasAny(directoryKey(TABLES.children, at))) return true
      for await (const { key } of index.range(directoryKey(TABLES.deletedDirectories, at))) {
        const entry = entryOfKey(key)
        below.set(toHex(entry), entry)
      }
    }
    return false
  }

  async *#rows(
    parents: readonly Uint8Array[]
  ): AsyncGenerator<{ parent: Uint8Array; key: Uint8Array; placed: PlacedEntry }> {
    const { index, hasDeleted } = this.#options
    for (const parent of parents) {
      const tables: readonly DirectoryTable[] = hasDeleted() ? DIRECTORY_TABLES : [TABLES.children]
      for (const table of tables)
        for await (const { key, value } of index.range(directoryKey(table, parent)))
          yield { parent, key, placed: { table, entry: entryOfKey(key), value } }
    }
  }

  /** Adds an entry to the group of its name if it shows there. Returns whether it does. */
  async #add(group: NameGroup, { table, entry, value }: PlacedEntry, reachability: Reachability): Promise<boolean> {
    if (table === TABLES.deletedDirectories && !(await this.hasLiveBelow(entry))) return false
    const child = { ...decodeDirectoryValue(value), entry }
    // A directory that ends a cycle shows at `/` instead. Below itself it would have no end.
    if (child.kind === 'directory' && (await reachability.endsCycle(entry))) return false
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
