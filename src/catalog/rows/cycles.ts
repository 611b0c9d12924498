import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { ROOT_ENTRY } from '../../format/entry.ts'
import { compareBytes, equalBytes, toHex } from '../../util/bytes.ts'
import { CYCLE_MAX } from '../constants.ts'
import type { DirectoryChanges } from './directory-changes.ts'
import { placeKey, type TreeRow } from './entry-row.ts'
import { cycleKey, decodeDirectoryValue, waitingKey } from './keys.ts'
import type { PendingRow, PendingRows } from './pending-rows.ts'

const ENDS = Uint8Array.of(1)
const IS_BELOW = Uint8Array.of(0)

/** Returns true if a directory ends its cycle: it shows at `/`, and the others of the cycle show below it. */
export async function endsCycle(index: Pick<IndexDb, 'get'>, entry: Uint8Array): Promise<boolean> {
  return isEnd(await index.get(cycleKey(entry)))
}

/** Returns true if the value of a row of cycles is that of the directory that ends the cycle. */
export function isEnd(value: Uint8Array | undefined): boolean {
  return value?.[0] === ENDS[0]
}

/**
 * Returns the directories of the cycle that the way up from this directory leads to; undefined if it leads to an end. At
 * most `CYCLE_MAX` directories are visited. The ways up from all directories in `done` lead to an end or to a cycle that
 * is known, and so do those that this function adds.
 */
export async function findCycle(
  start: Uint8Array,
  rowOf: (entry: Uint8Array) => Promise<TreeRow | undefined>,
  done: Set<string>
): Promise<Uint8Array[] | undefined> {
  const way = new Map<string, Uint8Array>()
  let cycle: Uint8Array[] | undefined
  for (let at = start; !equalBytes(at, ROOT_ENTRY) && !done.has(toHex(at)); ) {
    if (way.has(toHex(at))) {
      const all = [...way.values()]
      cycle = all.slice(all.findIndex(entry => equalBytes(entry, at)))
      break
    }
    // Nothing is known about these directories: a cycle may begin above the last of them.
    if (way.size === CYCLE_MAX) return undefined
    const row = await rowOf(at)
    if (row?.kind !== 'directory') break
    way.set(toHex(at), at)
    at = row.parent
  }
  for (const key of way.keys()) done.add(key)
  return cycle
}

/** Finds how a batch changes which directories end a cycle. */
export class Cycles {
  readonly #index: IndexDb
  readonly #rows: PendingRows
  readonly #changes: Pick<DirectoryChanges, 'get'>
  /** The directories that were in a cycle and no longer are. */
  readonly #gone = new Map<string, Uint8Array>()
  /** The directories of all cycles that the batch makes or changes. The value says which of them ends its cycle. */
  readonly #now = new Map<string, { entry: Uint8Array; ends: boolean }>()

  constructor(index: IndexDb, rows: PendingRows, changes: Pick<DirectoryChanges, 'get'>) {
    this.#index = index
    this.#rows = rows
    this.#changes = changes
  }

  /**
   * Finds the cycles that the batch ends and those that it makes. A cycle begins or ends only by a change of one of its
   * directories. So this looks at each changed directory: the cycle that it was part of ends, and the one that it is
   * part of now begins.
   */
  async find(): Promise<void> {
    const [starts, closing]: [Uint8Array[], boolean[]] = [[], []]
    for (const pending of this.#rows.all()) {
      const { entry, old, row } = pending
      const wasInCycle = old?.kind === 'directory' && (await this.#index.has(cycleKey(entry)))
      if (wasInCycle) await this.#leave(entry)
      if (row.kind !== 'directory' || !(wasInCycle || isMoved(pending))) continue
      starts.push(entry)
      closing.push(old?.kind === 'directory' || (await this.#index.has(waitingKey(entry))))
    }
    // A new directory can close a cycle with directories that the batch does not change only if one of them is below a
    // directory that the batch changes, and was so before. Without that, the search need not go up to the root.
    const isClosed = closing.some(Boolean)
    const rowOf = async (entry: Uint8Array): Promise<TreeRow | undefined> =>
      isClosed ? this.#rows.after(entry) : this.#rows.get(entry)
    const done = new Set<string>()
    for (const start of starts) {
      await this.#enter(await findCycle(start, rowOf, done))
      // Let other work run: the reads of the index resolve in the same turn of the event loop, and these ways may be
      // long.
      if (isClosed) await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** Returns true if a directory will end a cycle. */
  readonly ends = async (entry: Uint8Array): Promise<boolean> => {
    const key = toHex(entry)
    const now = this.#now.get(key)
    if (now !== undefined) return now.ends
    return !this.#gone.has(key) && endsCycle(this.#index, entry)
  }

  /** Yields the directories that begin or cease to end a cycle. */
  async *changed(): AsyncGenerator<Uint8Array> {
    for (const entry of this.#gone.values()) if (await endsCycle(this.#index, entry)) yield entry
    for (const [key, { entry, ends }] of this.#now)
      if (!this.#gone.has(key) ? ends : ends !== (await endsCycle(this.#index, entry))) yield entry
  }

  write(sink: IndexSink): void {
    for (const entry of this.#gone.values()) sink.del(cycleKey(entry))
    for (const { entry, ends } of this.#now.values()) sink.put(cycleKey(entry), ends ? ENDS : IS_BELOW)
  }

  async #leave(entry: Uint8Array): Promise<void> {
    if (this.#gone.has(toHex(entry))) return
    const cycle = await findCycle(entry, at => this.#rows.before(at), new Set())
    for (const directory of cycle ?? []) this.#gone.set(toHex(directory), directory)
  }

  async #enter(cycle: readonly Uint8Array[] | undefined): Promise<void> {
    if (cycle === undefined) return
    const placed = await Promise.all(cycle.map(entry => this.#placed(entry)))
    let end = 0
    for (const [i, entry] of cycle.entries()) {
      const order = compareBytes(placed[i] as Uint8Array, placed[end] as Uint8Array)
      if ((order || compareBytes(entry, cycle[end] as Uint8Array)) > 0) end = i
    }
    for (const [i, entry] of cycle.entries()) this.#now.set(toHex(entry), { entry, ends: i === end })
  }

  async #placed(entry: Uint8Array): Promise<Uint8Array> {
    const row = (await this.#rows.after(entry)) as TreeRow
    return decodeDirectoryValue(await this.#changes.get(placeKey(entry, row) as Uint8Array)).placed
  }
}

/** Returns true if an entry becomes a directory, or one with another parent. */
function isMoved({ old, row }: PendingRow): boolean {
  return old?.kind !== 'directory' || !equalBytes(old.parent, row.parent)
}
