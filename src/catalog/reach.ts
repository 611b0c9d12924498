import type { IndexDb, IndexOp } from '../disk/index-db.ts'
import { ROOT_ENTRY } from '../format/entry.ts'
import { compareStamps } from '../format/stamp.ts'
import { equalBytes, toHex } from '../util/bytes.ts'
import { decodeEntryRow, type EntryRow } from './entry-row.ts'
import { showEntry } from './heads.ts'
import { entryKey, waitingKey } from './keys.ts'

/** Which entries can be reached from the root, as the tree is, or as it will be with the rows of a batch. */
export class Reach {
  readonly #index: IndexDb
  readonly #pending: ReadonlyMap<string, EntryRow>

  constructor(index: IndexDb, pending: ReadonlyMap<string, EntryRow> = new Map()) {
    this.#index = index
    this.#pending = pending
  }

  async isDirectory(entry: Uint8Array): Promise<boolean> {
    return equalBytes(entry, ROOT_ENTRY) || (await this.#row(entry))?.kind === 'directory'
  }

  /** The changes that end the wait of everything whose parent this is. */
  async endOfWait(parent: Uint8Array): Promise<IndexOp[]> {
    const ops: IndexOp[] = []
    for await (const { key } of this.#index.range(waitingKey(parent))) ops.push({ type: 'del', key })
    return ops
  }

  /** The directories on the way from an entry back to itself; none if the way leads elsewhere. */
  async cycleOf(entry: Uint8Array): Promise<Uint8Array[]> {
    const way = new Map<string, Uint8Array>()
    for (let at = entry; !equalBytes(at, ROOT_ENTRY); ) {
      if (way.has(toHex(at))) return equalBytes(at, entry) ? [...way.values()] : []
      way.set(toHex(at), at)
      const row = await this.#row(at)
      if (row === undefined) return []
      at = row.parent
    }
    return []
  }

  /** True if the entry is in a cycle, and the one of it that was moved last: it shows at `/`, and the rest below it. */
  async endsCycle(entry: Uint8Array): Promise<boolean> {
    const cycle = await this.cycleOf(entry)
    if (cycle.length === 0) return false
    const rows = await Promise.all(cycle.map(member => this.#row(member)))
    const placed = rows.map(row => showEntry((row as EntryRow).state, () => 0).place.placed)
    const newest = placed.reduce((best, stamp, i) => {
      const order = compareStamps(stamp, placed[best] as (typeof placed)[number])
      return order > 0 ? i : best
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
