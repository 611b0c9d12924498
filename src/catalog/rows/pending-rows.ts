import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { ROOT_ENTRY } from '../../format/entry.ts'
import { equalBytes, toHex } from '../../util/bytes.ts'
import type { DirectoryChanges } from './directory-changes.ts'
import { decodeTreeRow, encodeEntryRow, placeKey, stateIn, type TreeRow } from './entry-row.ts'
import { entryKey } from './keys.ts'

/** The row of an entry that a batch changes. */
export interface PendingRow {
  entry: Uint8Array
  /** The row in the index; undefined if the index does not have the entry. */
  old: TreeRow | undefined
  row: TreeRow
  /** The encoded state of the entry's records. */
  state: Uint8Array
}

/** The rows of entries as a batch will leave them, with their rows in the directory tables. */
export class PendingRows {
  readonly #index: Pick<IndexDb, 'get'>
  readonly #changes: DirectoryChanges
  readonly #rows = new Map<string, PendingRow>()

  constructor(index: Pick<IndexDb, 'get'>, changes: DirectoryChanges) {
    this.#index = index
    this.#changes = changes
  }

  all(): Iterable<PendingRow> {
    return this.#rows.values()
  }

  /** Returns the row that the batch gives an entry; undefined if the batch does not change the entry. */
  get(entry: Uint8Array): TreeRow | undefined {
    return this.#rows.get(toHex(entry))?.row
  }

  /** Returns the row of an entry, changed or not; undefined if there is no such entry. */
  async after(entry: Uint8Array): Promise<TreeRow | undefined> {
    return this.get(entry) ?? this.before(entry)
  }

  /** Returns the row that the index has of an entry. */
  async before(entry: Uint8Array): Promise<TreeRow | undefined> {
    const value = await this.#index.get(entryKey(entry))
    return value === undefined ? undefined : decodeTreeRow(value)
  }

  async isDirectory(entry: Uint8Array): Promise<boolean> {
    return equalBytes(entry, ROOT_ENTRY) || (await this.after(entry))?.kind === 'directory'
  }

  /** Sets the row of an entry. `value` is that of its row in the directory tables. */
  set(pending: PendingRow, value: Uint8Array | undefined): void {
    const { entry, old, row } = pending
    const [before, key] = [old && placeKey(entry, old), placeKey(entry, row)]
    if (before !== undefined) this.#changes.set(before, undefined)
    if (key !== undefined) this.#changes.set(key, value)
    this.#rows.set(toHex(entry), pending)
  }

  /** Hides a deleted directory, or shows it again. */
  async setHidden(entry: Uint8Array, isHidden: boolean): Promise<void> {
    const pending = this.#rows.get(toHex(entry)) ?? (await this.#indexed(entry))
    const from = placeKey(entry, pending.row) as Uint8Array
    const row = { ...pending.row, isHidden }
    const value = await this.#changes.get(from)
    this.#changes.set(from, undefined)
    this.#changes.set(placeKey(entry, row) as Uint8Array, value)
    this.#rows.set(toHex(entry), { ...pending, row })
  }

  write(sink: IndexSink): void {
    for (const { entry, row, state } of this.#rows.values()) sink.put(entryKey(entry), encodeEntryRow(row, state))
  }

  async #indexed(entry: Uint8Array): Promise<PendingRow> {
    const value = (await this.#index.get(entryKey(entry))) as Uint8Array
    const row = decodeTreeRow(value)
    return { entry, old: row, row, state: stateIn(value) }
  }
}
