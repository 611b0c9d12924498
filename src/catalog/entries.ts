import type { IndexDb } from '../disk/index-db.ts'
import type { EntryBody } from '../format/entry.ts'
import type { Bodies } from './bodies.ts'
import { type Shown, showEntry } from './heads.ts'
import { type EntryRow, readEntryRow } from './rows/entry-row.ts'
import { entryKey } from './rows/keys.ts'

export interface EntriesOptions {
  index: Pick<IndexDb, 'get' | 'getMany' | 'reportCorrupt'>
  bodies: Bodies
  /** Returns the position of an epoch in the chain of epochs. */
  depthOf: (epoch: Uint8Array) => number
}

/** Looks up entries by their id. */
export class Entries {
  readonly #options: EntriesOptions

  constructor(options: EntriesOptions) {
    this.#options = options
  }

  /**
   * Returns an entry's row and how the entry is shown, even if it is deleted. Returns undefined if no record of it
   * counts.
   */
  async get(id: Uint8Array): Promise<{ row: EntryRow; shown: Shown } | undefined> {
    const { index, depthOf } = this.#options
    const value = await index.get(entryKey(id))
    if (value === undefined) return undefined
    const row = await readEntryRow(index, id, value)
    if (row.state.heads.length === 0) return undefined
    return { row, shown: showEntry(row.state, depthOf) }
  }

  /**
   * Returns the body of the record that placed an entry, or undefined if the body cannot be opened or there is no such
   * entry.
   */
  async placeBody(id: Uint8Array): Promise<EntryBody | undefined> {
    const found = await this.get(id)
    return found === undefined ? undefined : this.#options.bodies.open(found.shown.place)
  }
}
