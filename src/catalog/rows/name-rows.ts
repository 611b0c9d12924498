import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { TABLES } from '../../disk/tables.ts'
import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import { concatBytes, equalBytes, NO_BYTES, toHex } from '../../util/bytes.ts'
import { DIRECTORY_TABLES, type DirectoryTable, directoryKey, entryOfKey, nameKeyOf } from './keys.ts'

/**
 * The table of names has a row for each name that some entry has. If exactly one entry has the name, and it is not a
 * deleted directory, the row holds the entry and the value of its row in the directory; otherwise the row is empty.
 * Nearly every name has one entry or none, so one look-up is nearly always enough. Searching the directory tables takes
 * twenty times as long.
 */

/** A row of a directory table. */
export interface PlacedEntry {
  table: DirectoryTable
  entry: Uint8Array
  value: Uint8Array
}

/** Returns the entries that have this name in a directory. */
export async function underName(index: IndexDb, parent: Uint8Array, hash: Uint8Array): Promise<PlacedEntry[]> {
  const only = await index.get(directoryKey(TABLES.names, parent, hash))
  if (only === undefined) return []
  if (only.byteLength > 0)
    return [{ table: TABLES.children, entry: only.subarray(0, ENTRY_ID_BYTES), value: only.subarray(ENTRY_ID_BYTES) }]
  const found: PlacedEntry[] = []
  for (const table of DIRECTORY_TABLES)
    for await (const { key, value } of index.range(directoryKey(table, parent, hash)))
      found.push({ table, entry: entryOfKey(key), value })
  return found
}

/** A row of a directory table after a batch. If it has no value, the batch removes it. */
interface Change {
  key: Uint8Array
  value: Uint8Array | undefined
}

/**
 * The changes that a batch makes to the directory tables, and the changes to the table of names that follow from them.
 */
export class DirectoryChanges {
  readonly #index: IndexDb
  readonly #changes = new Map<string, Change>()

  constructor(index: IndexDb) {
    this.#index = index
  }

  /** Sets a row. If a key is set twice, the last value wins. */
  set(key: Uint8Array, value: Uint8Array | undefined): void {
    this.#changes.set(toHex(key), { key, value })
  }

  /** Writes the changed rows, and those of the table of names that follow from them. */
  async write(sink: IndexSink): Promise<void> {
    const byName = [...Map.groupBy(this.#changes.values(), ({ key }) => toHex(nameKeyOf(key))).values()]
    const keys = byName.map(([first]) => nameKeyOf((first as Change).key))
    const before = await this.#index.getMany(keys)
    for (const change of this.#changes.values()) writeChange(sink, change)
    for (const [i, below] of byName.entries()) {
      const key = keys[i] as Uint8Array
      writeChange(sink, { key, value: await this.#after(key, before[i], below) })
    }
  }

  /** Returns true if a directory will have at least one row in one of its tables. */
  async hasRows(directory: Uint8Array): Promise<boolean> {
    let removed = 0
    const prefixes = DIRECTORY_TABLES.map(table => directoryKey(table, directory))
    for (const { key, value } of this.#changes.values()) {
      if (!prefixes.some(prefix => equalBytes(key.subarray(0, prefix.byteLength), prefix))) continue
      if (value !== undefined) return true
      removed++
    }
    for (const prefix of prefixes)
      for await (const { key } of this.#index.range(prefix, { limit: removed + 1 }))
        if (!this.#changes.has(toHex(key))) return true
    return false
  }

  /** Returns the value of a row of names after some changes to its entries, or undefined if no entry is left. */
  async #after(
    nameKey: Uint8Array,
    before: Uint8Array | undefined,
    changes: readonly Change[]
  ): Promise<Uint8Array | undefined> {
    const left = new Map<string, { key: Uint8Array; value: Uint8Array }>()
    if (before !== undefined && before.byteLength > 0) {
      const key = directoryKey(TABLES.children, nameKey.subarray(1), before.subarray(0, ENTRY_ID_BYTES))
      left.set(toHex(key), { key, value: before.subarray(ENTRY_ID_BYTES) })
    } else if (before !== undefined) {
      // The changes remove at most `changes.length` rows. Reading two more shows whether more than one entry is left.
      const limit = changes.length + 2
      for (const table of DIRECTORY_TABLES)
        for await (const row of this.#index.range(directoryKey(table, nameKey.subarray(1)), { limit }))
          left.set(toHex(row.key), row)
    }
    for (const { key, value } of changes) {
      if (value === undefined) left.delete(toHex(key))
      else left.set(toHex(key), { key, value })
    }
    const [only] = left.values()
    if (only === undefined) return undefined
    if (left.size > 1 || only.key[0] !== IN_DIRECTORY) return NO_BYTES
    return concatBytes(entryOfKey(only.key), only.value)
  }
}

const IN_DIRECTORY = TABLES.children.charCodeAt(0)

function writeChange(sink: IndexSink, { key, value }: Change): void {
  if (value === undefined) sink.del(key)
  else sink.put(key, value)
}

/** Returns true if the index holds the row of names that must accompany a row of a directory table. */
export async function hasName(index: IndexDb, key: Uint8Array): Promise<boolean> {
  const row = await index.get(nameKeyOf(key))
  return row !== undefined && (row.byteLength === 0 || equalBytes(row.subarray(0, ENTRY_ID_BYTES), entryOfKey(key)))
}
