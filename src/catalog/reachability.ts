import type { IndexDb } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import { ROOT_ENTRY } from '../format/entry.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import { compareBytes, equalBytes, toHex } from '../util/bytes.ts'
import { CYCLE_MAX } from './constants.ts'
import { showEntry } from './heads.ts'
import { decodeEntryRow, type EntryRow } from './rows/entry-row.ts'
import { cycleKey, directoryKey, entryKey } from './rows/keys.ts'

/**
 * Tells which entries can be reached from the root, either in the current tree or in the tree as the rows of a batch
 * will change it.
 */
export class Reachability {
  readonly #index: IndexDb
  readonly #pending: ReadonlyMap<string, EntryRow>

  constructor(index: IndexDb, pending: ReadonlyMap<string, EntryRow> = new Map()) {
    this.#index = index
    this.#pending = pending
  }

  async isDirectory(entry: Uint8Array): Promise<boolean> {
    return equalBytes(entry, ROOT_ENTRY) || (await this.#row(entry))?.kind === 'directory'
  }

  /** Returns false if no record of the entry has arrived. */
  async isKnown(entry: Uint8Array): Promise<boolean> {
    return (await this.#row(entry)) !== undefined
  }

  /** Returns true if some entry is directly below this one in the current tree. */
  async hasChildren(entry: Uint8Array): Promise<boolean> {
    return (
      (await this.#index.hasAny(directoryKey(TABLES.children, entry))) ||
      this.#index.hasAny(directoryKey(TABLES.deletedDirectories, entry))
    )
  }

  /**
   * Returns the directories of a cycle, from this directory upwards until it comes round to itself. Returns none if the
   * directory is not in a cycle, or if the cycle is too long.
   */
  async cycleOf(entry: Uint8Array): Promise<Uint8Array[]> {
    const way = new Map<string, Uint8Array>()
    for (let at = entry; way.size < CYCLE_MAX && !equalBytes(at, ROOT_ENTRY); ) {
      const row = await this.#row(at)
      if (row?.kind !== 'directory') return []
      way.set(toHex(at), at)
      at = row.parent
      if (equalBytes(at, entry)) return [...way.values()]
      if (way.has(toHex(at))) return []
    }
    return []
  }

  /**
   * Returns true if, of all directories in its cycle, this one was moved last. It is shown at `/`, and the others below
   * it.
   */
  async endsCycle(entry: Uint8Array): Promise<boolean> {
    if (!(await this.#index.has(cycleKey(entry)))) return false
    const cycle = await this.cycleOf(entry)
    if (cycle.length === 0) return false
    const rows = await Promise.all(cycle.map(directory => this.#row(directory)))
    const placed = rows.map(row => showEntry((row as EntryRow).state, () => 0).place.placed)
    const newest = placed.reduce((best, stamp, i) => {
      const [one, other] = [cycle[i], cycle[best]] as [Uint8Array, Uint8Array]
      return (compareStamps(stamp, placed[best] as Stamp) || compareBytes(one, other)) > 0 ? i : best
    }, 0)
    return equalBytes(cycle[newest] as Uint8Array, entry)
  }

  async #row(entry: Uint8Array): Promise<EntryRow | undefined> {
    const pending = this.#pending.get(toHex(entry))
    if (pending !== undefined) return pending
    const value = await this.#index.get(entryKey(entry))
    return value === undefined ? undefined : decodeEntryRow(value)
  }
}
