import type { IndexDb } from '../disk/index-db.ts'
import { ROOT_ENTRY } from '../format/entry.ts'
import { compareStamps, type Stamp } from '../format/stamp.ts'
import { compareBytes, equalBytes, toHex } from '../util/bytes.ts'
import { CYCLE_MAX } from './constants.ts'
import { showEntry } from './heads.ts'
import { decodeEntryRow, type EntryRow, type TreeRow } from './rows/entry-row.ts'
import { cycleKey, entryKey } from './rows/keys.ts'

/**
 * Tells which entries can be reached from the root, either in the current tree or in the tree as the rows of a batch
 * will change it.
 */
export class Reachability {
  readonly #index: IndexDb
  readonly #pending: ReadonlyMap<string, TreeRow>

  constructor(index: IndexDb, pending: ReadonlyMap<string, TreeRow> = new Map()) {
    this.#index = index
    this.#pending = pending
  }

  async isDirectory(entry: Uint8Array): Promise<boolean> {
    return equalBytes(entry, ROOT_ENTRY) || (await this.#row(entry))?.kind === 'directory'
  }

  /** Returns false if the current tree has no record of the entry that counts. */
  async isKnown(entry: Uint8Array): Promise<boolean> {
    const row = await this.#indexed(entry)
    return row !== undefined && row.state.heads.length > 0
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
    const placed: Stamp[] = []
    for (const directory of cycle) {
      const row = await this.#indexed(directory)
      // The cycle is gone if one of its directories was changed while it was read.
      if (row === undefined || row.state.heads.length === 0) return false
      placed.push(showEntry(row.state, () => 0).place.placed)
    }
    const newest = placed.reduce((best, stamp, i) => {
      const [one, other] = [cycle[i], cycle[best]] as [Uint8Array, Uint8Array]
      return (compareStamps(stamp, placed[best] as Stamp) || compareBytes(one, other)) > 0 ? i : best
    }, 0)
    return equalBytes(cycle[newest] as Uint8Array, entry)
  }

  async #row(entry: Uint8Array): Promise<TreeRow | undefined> {
    return this.#pending.get(toHex(entry)) ?? this.#indexed(entry)
  }

  async #indexed(entry: Uint8Array): Promise<EntryRow | undefined> {
    const value = await this.#index.get(entryKey(entry))
    return value === undefined ? undefined : decodeEntryRow(entry, value)
  }
}
