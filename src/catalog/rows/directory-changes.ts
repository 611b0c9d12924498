import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { TABLES } from '../../disk/tables.ts'
import { toHex } from '../../util/bytes.ts'
import { DIRECTORY_TABLES, type DirectoryTable, directoryKey, entryOfKey, nameKeyOf, parentOfKey } from './keys.ts'
import { type ChildChange, nameAfter, writeRow } from './name-rows.ts'

/** The value of a row of the table of names before and after a batch. */
export interface NameChange {
  before: Uint8Array | undefined
  after: Uint8Array | undefined
}

const IN_CHILDREN = TABLES.children.charCodeAt(0)

/**
 * The changes that a batch makes to the directory tables, and the changes to the table of names that follow from them.
 */
export class DirectoryChanges {
  readonly #index: IndexDb
  readonly #byKey = new Map<string, ChildChange>()
  /** The same changes, by parent. */
  readonly #byParent = new Map<string, Map<string, ChildChange>>()

  constructor(index: IndexDb) {
    this.#index = index
  }

  /** Sets a row, or removes it if there is no value. If a key is set twice, the last call wins. */
  set(key: Uint8Array, value: Uint8Array | undefined): void {
    const change = { key, value }
    const parent = toHex(parentOfKey(key))
    const below = this.#byParent.get(parent) ?? new Map<string, ChildChange>()
    this.#byParent.set(parent, below)
    below.set(toHex(key), change)
    this.#byKey.set(toHex(key), change)
  }

  /** Returns the value that a row will have. Throws an `IndexCorruptError` if there is no such row. */
  async get(key: Uint8Array): Promise<Uint8Array> {
    const value = await this.find(key)
    if (value === undefined) throw this.#index.reportCorrupt('the index lacks the row of an entry in its directory')
    return value
  }

  /**
   * Writes the changed rows, and those of the table of names that follow from them. Returns how the rows of names
   * change, by the hex digits of their keys.
   */
  async write(sink: IndexSink): Promise<ReadonlyMap<string, NameChange>> {
    for (const change of this.#byKey.values()) writeRow(sink, change)
    const shown = [...this.#byKey.values()].filter(({ key }) => key[0] === IN_CHILDREN)
    const byName = [...Map.groupBy(shown, ({ key }) => toHex(nameKeyOf(key))).values()]
    const keys = byName.map(([first]) => nameKeyOf((first as ChildChange).key))
    const before = await this.#index.getMany(keys)
    const names = new Map<string, NameChange>()
    for (const [i, changes] of byName.entries()) {
      const key = keys[i] as Uint8Array
      const after = await nameAfter(this.#index, key, before[i], changes)
      writeRow(sink, { key, value: after })
      names.set(toHex(key), { before: before[i], after })
    }
    return names
  }

  /** Returns the value that a row will have, or undefined if there is no such row. */
  async find(key: Uint8Array): Promise<Uint8Array | undefined> {
    const change = this.#byKey.get(toHex(key))
    return change === undefined ? this.#index.get(key) : change.value
  }

  /** Returns true if a directory will have at least one row in one of its tables. */
  async hasRows(directory: Uint8Array): Promise<boolean> {
    for (const table of DIRECTORY_TABLES) if (await this.#hasRow(table, directory)) return true
    return false
  }

  /** Returns true if a directory will show at least one entry, apart from the one that `isLeftOut` names. */
  showsAny(directory: Uint8Array, isLeftOut: (entry: Uint8Array) => Promise<boolean>): Promise<boolean> {
    return this.#hasRow(TABLES.children, directory, isLeftOut)
  }

  async #hasRow(
    table: DirectoryTable,
    directory: Uint8Array,
    isLeftOut: (entry: Uint8Array) => Promise<boolean> = async () => false
  ): Promise<boolean> {
    const changes = this.#byParent.get(toHex(directory))
    const letter = table.charCodeAt(0)
    for (const { key, value } of changes?.values() ?? [])
      if (key[0] === letter && value !== undefined && !(await isLeftOut(entryOfKey(key)))) return true
    // The rows that the batch changes do not count, and at most one row is left out. Reading two more than these is
    // enough.
    const limit = (changes?.size ?? 0) + 2
    for await (const { key } of this.#index.range(directoryKey(table, directory), { limit }))
      if (changes?.has(toHex(key)) !== true && !(await isLeftOut(entryOfKey(key)))) return true
    return false
  }
}
