import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { compareBytes } from '../../util/bytes.ts'
import { DELETED_AT_ONCE } from '../constants.ts'
import { decodeDirectoryValue, directoryKey, entryOfKey } from '../rows/keys.ts'

/** A deleted file, or a deleted directory that does not show. */
export interface DeletedEntry {
  id: Uint8Array
  kind: 'file' | 'directory'
  /**
   * When it was there last, in bytes that compare as stamps do: of a file the stamp of its last put, because a purge
   * deletes a deleted file once more; of a directory that of its delete, because what is in it changes without it.
   */
  lastThere: Uint8Array
}

/** The tables that hold deleted entries. */
const DELETED_TABLES = [TABLES.deletedFiles, TABLES.deletedDirectories] as const

/**
 * Yields the deleted entries that some directories had under one name, those that were there last first. Each
 * `DELETED_AT_ONCE` of them cost one walk over all of them, so that memory is bounded.
 */
export async function* deletedUnder(
  index: Pick<IndexDb, 'range'>,
  parents: readonly Uint8Array[],
  hash: Uint8Array,
  tables: ReadonlyArray<(typeof DELETED_TABLES)[number]> = DELETED_TABLES
): AsyncGenerator<DeletedEntry> {
  for (let before: DeletedEntry | undefined; ; ) {
    const latest = new Latest(before)
    for (const parent of parents)
      for (const table of tables)
        for await (const { key, value } of index.range(directoryKey(table, parent, hash)))
          latest.add(deletedEntryOf(key, value))
    const entries = latest.take()
    yield* entries
    if (entries.length < DELETED_AT_ONCE) return
    before = entries.at(-1)
  }
}

/** Returns the deleted entry that a row is about. */
export function deletedEntryOf(key: Uint8Array, value: Uint8Array): DeletedEntry {
  const { kind, placed } = decodeDirectoryValue(value)
  return { id: entryOfKey(key), kind, lastThere: placed }
}

/** Collects the `DELETED_AT_ONCE` latest of the entries before a given one. */
class Latest {
  readonly #before: DeletedEntry | undefined
  #entries: DeletedEntry[] = []

  constructor(before: DeletedEntry | undefined) {
    this.#before = before
  }

  add(entry: DeletedEntry): void {
    if (this.#before !== undefined && byTime(entry, this.#before) <= 0) return
    this.#entries.push(entry)
    if (this.#entries.length >= 2 * DELETED_AT_ONCE) this.#entries = this.take()
  }

  take(): DeletedEntry[] {
    return this.#entries.sort(byTime).slice(0, DELETED_AT_ONCE)
  }
}

/** The order of deleted entries: the latest first. */
export function byTime(a: DeletedEntry, b: DeletedEntry): number {
  return compareBytes(b.lastThere, a.lastThere) || compareBytes(a.id, b.id)
}
