import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { TABLES } from '../../disk/tables.ts'
import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import { concatBytes, equalBytes, NO_BYTES } from '../../util/bytes.ts'
import { directoryKey, entryOfKey, nameKeyOf, textOf } from './keys.ts'

/**
 * The table of names has a row for each name that some entry shows under. If exactly one entry has the name, the row
 * holds the entry and the value of its row in the directory; otherwise the row is empty. Nearly every name has one entry
 * or none, so one look-up is nearly always enough. Searching the directory table takes twenty times as long.
 */

/** A row of the table of children. */
export interface PlacedEntry {
  entry: Uint8Array
  value: Uint8Array
}

/** Returns the entries that a directory shows under this name. */
export async function underName(index: IndexDb, parent: Uint8Array, hash: Uint8Array): Promise<PlacedEntry[]> {
  const only = await index.get(directoryKey(TABLES.names, parent, hash))
  if (only === undefined) return []
  if (only.byteLength > 0) return [decodeOnly(only)]
  const found: PlacedEntry[] = []
  for await (const { key, value } of index.range(directoryKey(TABLES.children, parent, hash)))
    found.push({ entry: entryOfKey(key), value })
  return found
}

/** A row of the table of children after a batch. If it has no value, the batch removes it. */
export interface ChildChange {
  key: Uint8Array
  value: Uint8Array | undefined
}

/**
 * Returns the value of a row of names after some changes to the entries of that name, or undefined if no entry is left.
 * `before` is its value before them.
 */
export async function nameAfter(
  index: IndexDb,
  nameKey: Uint8Array,
  before: Uint8Array | undefined,
  changes: readonly ChildChange[]
): Promise<Uint8Array | undefined> {
  const left = new Map<string, PlacedEntry>()
  if (before !== undefined && before.byteLength > 0) {
    const only = decodeOnly(before)
    left.set(textOf(only.entry), only)
  } else if (before !== undefined) {
    // The changes remove at most `changes.length` rows. Reading two more shows whether more than one entry is left.
    const limit = changes.length + 2
    for await (const { key, value } of index.range(directoryKey(TABLES.children, nameKey.subarray(1)), { limit }))
      left.set(textOf(entryOfKey(key)), { entry: entryOfKey(key), value })
  }
  for (const { key, value } of changes) {
    const entry = entryOfKey(key)
    if (value === undefined) left.delete(textOf(entry))
    else left.set(textOf(entry), { entry, value })
  }
  const [only] = left.values()
  if (only === undefined) return undefined
  return left.size > 1 ? NO_BYTES : concatBytes(only.entry, only.value)
}

/** Returns true if the index holds the row of names that must accompany a row of the table of children. */
export async function hasName(index: Pick<IndexDb, 'get'>, key: Uint8Array): Promise<boolean> {
  const row = await index.get(nameKeyOf(key))
  return row !== undefined && (row.byteLength === 0 || equalBytes(row.subarray(0, ENTRY_ID_BYTES), entryOfKey(key)))
}

/** Writes a row, or removes it if it has no value. */
export function writeRow(sink: IndexSink, { key, value }: ChildChange): void {
  if (value === undefined) sink.del(key)
  else sink.put(key, value)
}

function decodeOnly(value: Uint8Array): PlacedEntry {
  return { entry: value.subarray(0, ENTRY_ID_BYTES), value: value.subarray(ENTRY_ID_BYTES) }
}
