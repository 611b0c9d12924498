import type { IndexDb, IndexOp } from '../disk/index-db.ts'
import { ENTRY_ID_BYTES } from '../format/entry.ts'
import { concatBytes, equalBytes, toHex } from '../util/bytes.ts'
import { directoryKey, entryOfKey, nameKeyOf } from './keys.ts'

/**
 * A row of `n` for each name that something stands under: the one entry that does and the value of its row `d`, or
 * nothing if there are several, or a deleted directory. Nearly every name is of one entry, or of none yet, and so one look
 * finds what a search through `d` and `x` would find, which takes twenty times as long.
 */

/** A row of `d` or `x`. */
export interface PlacedEntry {
  table: 'd' | 'x'
  entry: Uint8Array
  value: Uint8Array
}

/** What stands under one name of a directory. */
export async function underName(index: IndexDb, parent: Uint8Array, hash: Uint8Array): Promise<PlacedEntry[]> {
  const only = await index.get(directoryKey('n', parent, hash))
  if (only === undefined) return []
  if (only.byteLength > 0)
    return [{ table: 'd', entry: only.subarray(0, ENTRY_ID_BYTES), value: only.subarray(ENTRY_ID_BYTES) }]
  const found: PlacedEntry[] = []
  for (const table of TABLES)
    for await (const { key, value } of index.range(directoryKey(table, parent, hash)))
      found.push({ table, entry: entryOfKey(key), value })
  return found
}

/** A row of `d` or `x` as it will be; without a value it goes. */
interface Change {
  key: Uint8Array
  value: Uint8Array | undefined
}

/** What a batch changes in `d` and `x`, and the rows of `n` that follow from it. */
export class DirectoryChanges {
  readonly #index: IndexDb
  readonly #changes = new Map<string, Change>()

  constructor(index: IndexDb) {
    this.#index = index
  }

  /** Of one key what is said last holds. */
  set(key: Uint8Array, value: Uint8Array | undefined): void {
    this.#changes.set(toHex(key), { key, value })
  }

  async ops(): Promise<IndexOp[]> {
    const changes = [...this.#changes.values()]
    const byName = [...Map.groupBy(changes, ({ key }) => toHex(nameKeyOf(key))).values()]
    const keys = byName.map(([first]) => nameKeyOf((first as Change).key))
    const before = await this.#index.getMany(keys)
    const names = await Promise.all(
      byName.map(async (below, i): Promise<Change> => {
        const key = keys[i] as Uint8Array
        return { key, value: await this.#after(key, before[i], below) }
      })
    )
    return [...changes, ...names].map(
      ({ key, value }): IndexOp => (value === undefined ? { type: 'del', key } : { type: 'put', key, value })
    )
  }

  /** The row of `n` after some changes below it. */
  async #after(
    nameKey: Uint8Array,
    before: Uint8Array | undefined,
    changes: readonly Change[]
  ): Promise<Uint8Array | undefined> {
    const left = new Map<string, { key: Uint8Array; value: Uint8Array }>()
    if (before !== undefined && before.byteLength > 0) {
      const key = directoryKey('d', nameKey.subarray(1), before.subarray(0, ENTRY_ID_BYTES))
      left.set(toHex(key), { key, value: before.subarray(ENTRY_ID_BYTES) })
    } else if (before !== undefined) {
      // However many there are: no more of them need be seen than may go, and two.
      const limit = changes.length + 2
      for (const table of TABLES)
        for await (const row of this.#index.range(directoryKey(table, nameKey.subarray(1)), { limit }))
          left.set(toHex(row.key), row)
    }
    for (const { key, value } of changes) {
      if (value === undefined) left.delete(toHex(key))
      else left.set(toHex(key), { key, value })
    }
    const [only] = left.values()
    if (only === undefined) return undefined
    if (left.size > 1 || only.key[0] !== IN_DIRECTORY) return new Uint8Array(0)
    return concatBytes(entryOfKey(only.key), only.value)
  }
}

const TABLES = ['d', 'x'] as const
const IN_DIRECTORY = 'd'.charCodeAt(0)

/** True if the index holds the row of `n` that a row of `d` or `x` must have. */
export async function hasName(index: IndexDb, key: Uint8Array): Promise<boolean> {
  const row = await index.get(nameKeyOf(key))
  return row !== undefined && (row.byteLength === 0 || equalBytes(row.subarray(0, ENTRY_ID_BYTES), entryOfKey(key)))
}
