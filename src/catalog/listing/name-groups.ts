import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { equalBytes } from '../../util/bytes.ts'
import { LIST_ROWS } from '../constants.ts'
import type { Names } from '../names.ts'
import { endsCycle } from '../rows/cycles.ts'
import { placeKey, type TreeRow } from '../rows/entry-row.ts'
import { type DirectoryValue, decodeDirectoryValue, directoryKey, entryOfKey, nameHashOf } from '../rows/keys.ts'
import { underName } from '../rows/name-rows.ts'
import { mergeSorted } from './merge-sorted.ts'

/** An entry in a directory, with the value of its row there. */
export interface Child extends DirectoryValue {
  entry: Uint8Array
  /** The position of its parent among the directories that show as one. */
  parent: number
}

/** All entries with the same name in one directory. */
export interface NameGroup {
  name: string
  hash: Uint8Array
  directories: Child[]
  files: Child[]
}

export interface NameGroupsOptions {
  index: IndexDb
  names: Names
}

/** A row of the table of children. */
interface ChildRow {
  hash: Uint8Array
  entry: Uint8Array
  value: Uint8Array
  parent: number
}

/** Reads the entries of directories, grouped by name. The groups contain only entries that are shown there. */
export class NameGroups {
  readonly #options: NameGroupsOptions

  constructor(options: NameGroupsOptions) {
    this.#options = options
  }

  /** Yields the groups of all names in some directories that show as one, in the order of the hashes of the names. */
  async *all(parents: readonly Uint8Array[]): AsyncGenerator<NameGroup> {
    const { names } = this.#options
    let group: NameGroup | undefined
    const limit = Math.max(1, Math.floor(LIST_ROWS / parents.length))
    const rows = parents.map((id, parent) => this.#rows(id, { parent, limit }))
    for await (const row of mergeSorted(rows, (a, b) => Buffer.compare(a.hash, b.hash))) {
      if (group === undefined || !equalBytes(group.hash, row.hash)) {
        if (group !== undefined) yield group
        group = emptyGroup(names.open(decodeDirectoryValue(row.value).sealedName, row.hash), row.hash)
      }
      await this.#add(group, row)
    }
    if (group !== undefined) yield group
  }

  /** Returns the group of a name. It looks in all of `parents`, which are shown as one directory. */
  async one(parents: readonly Uint8Array[], name: string): Promise<NameGroup> {
    const { index, names } = this.#options
    const hash = names.hash(name)
    const group = emptyGroup(name, hash)
    for (const [parent, id] of parents.entries())
      for (const placed of await underName(index, id, hash)) await this.#add(group, { ...placed, parent })
    return group
  }

  /** Returns true if some entry of these directories has this name as its own. */
  async has(parents: readonly Uint8Array[], name: string): Promise<boolean> {
    const { index, names } = this.#options
    const hash = names.hash(name)
    for (const parent of parents) if (await index.has(directoryKey(TABLES.names, parent, hash))) return true
    return false
  }

  /** Returns the name under which an entry shows where its row places it; undefined if it does not show. */
  async nameOf(entry: Uint8Array, row: TreeRow): Promise<string | undefined> {
    const key = row.isHidden ? undefined : placeKey(entry, row)
    const value = key === undefined ? undefined : await this.#options.index.get(key)
    return value === undefined
      ? undefined
      : this.#options.names.open(decodeDirectoryValue(value).sealedName, row.name as Uint8Array)
  }

  /** Yields the rows of one directory. At most `limit` of them are read at once. */
  async *#rows(id: Uint8Array, { parent, limit }: { parent: number; limit: number }): AsyncGenerator<ChildRow> {
    const prefix = directoryKey(TABLES.children, id)
    let after: Uint8Array | undefined
    for (let count = limit; count === limit; ) {
      count = 0
      for await (const { key, value } of this.#options.index.range(prefix, { after, limit })) {
        count++
        after = key
        yield { hash: nameHashOf(key), entry: entryOfKey(key), value, parent }
      }
    }
  }

  /** Adds an entry to the group of its name if it is shown there. */
  async #add(group: NameGroup, { entry, value, parent }: Omit<ChildRow, 'hash'>): Promise<void> {
    const child = { ...decodeDirectoryValue(value), entry, parent }
    if (child.kind === 'file') group.files.push(child)
    // A directory that ends a cycle is shown at `/` instead. If it were shown below itself, the tree would have no end.
    else if (!(await endsCycle(this.#options.index, entry))) group.directories.push(child)
  }
}

function emptyGroup(name: string, hash: Uint8Array): NameGroup {
  return { name, hash, directories: [], files: [] }
}
