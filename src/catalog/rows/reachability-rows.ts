import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { ROOT_ENTRY } from '../../format/entry.ts'
import { equalBytes, NO_BYTES, toHex, u64be } from '../../util/bytes.ts'
import { Reachability } from '../reachability.ts'
import type { TreeRow } from './entry-row.ts'
import { cycleKey, waitingKey } from './keys.ts'
import type { DirectoryChanges } from './name-rows.ts'

export interface ReachabilityContext {
  index: IndexDb
  /** What the batch changes in the tables of directories. */
  changes: Pick<DirectoryChanges, 'hasRows'>
  sink: IndexSink
}

/** How a batch changes the place of one entry. */
export interface PlaceUpdate {
  entry: Uint8Array
  /** Undefined if the index does not have the entry. */
  old: TreeRow | undefined
  row: TreeRow
  /** When the first record that the batch has of the entry reached this member, in ms since the Unix epoch. */
  arrivedAtMs: number
}

/**
 * Writes the rows that note why entries cannot be reached: their parent is no directory, or a directory is below
 * itself. A row is there exactly as long as its reason lasts.
 */
export async function writeReachability(context: ReachabilityContext, updates: readonly PlaceUpdate[]): Promise<void> {
  const after = new Reachability(context.index, new Map(updates.map(({ entry, row }) => [toHex(entry), row])))
  await writeWaiting(context, after, updates)
  await writeCycles(context, after, updates)
}

/** A parent whose row of `waiting` a batch may change. */
interface Parent {
  id: Uint8Array
  /** True if the batch turns it into a directory. */
  isNew: boolean
  sinceMs: number
}

async function writeWaiting(
  { index, changes, sink }: ReachabilityContext,
  after: Reachability,
  updates: readonly PlaceUpdate[]
): Promise<void> {
  for (const { id, isNew, sinceMs } of parentsIn(updates)) {
    if (equalBytes(id, ROOT_ENTRY)) continue
    const isDirectory = await after.isDirectory(id)
    if (isDirectory && !isNew) continue
    const key = waitingKey(id)
    const isWaiting = await index.has(key)
    if (isWaiting && (isDirectory || !(await changes.hasRows(id)))) sink.del(key)
    else if (!isWaiting && !isDirectory && (await changes.hasRows(id))) sink.put(key, u64be(Math.floor(sinceMs)))
  }
}

function parentsIn(updates: readonly PlaceUpdate[]): Iterable<Parent> {
  const parents = new Map<string, Parent>()
  const note = (id: Uint8Array, isNew: boolean, sinceMs: number): void => {
    const known = parents.get(toHex(id))
    if (known === undefined) parents.set(toHex(id), { id, isNew, sinceMs })
    else {
      known.isNew ||= isNew
      known.sinceMs = Math.min(known.sinceMs, sinceMs)
    }
  }
  for (const { entry, old, row, arrivedAtMs } of updates) {
    const [is, was] = [row.kind === 'directory', old?.kind === 'directory']
    if (is !== was) note(entry, is, arrivedAtMs)
    if (row.key !== undefined) note(row.parent, false, arrivedAtMs)
    if (old?.key !== undefined && !equalBytes(old.parent, row.parent)) note(old.parent, false, arrivedAtMs)
  }
  return parents.values()
}

/**
 * A cycle begins or ends only by a change of one of its directories. So the rows of every cycle that such a change was
 * part of are removed, and those of every cycle that it is part of now are written.
 */
async function writeCycles(
  { index, sink }: ReachabilityContext,
  after: Reachability,
  updates: readonly PlaceUpdate[]
): Promise<void> {
  const before = new Reachability(index)
  const [gone, now] = [new Map<string, Uint8Array>(), new Map<string, Uint8Array>()]
  for (const { entry, old, row } of updates) {
    const [is, was] = [row.kind === 'directory', old?.kind === 'directory']
    if (is === was && (old === undefined || equalBytes(old.parent, row.parent))) continue
    if (was && (await index.has(cycleKey(entry))))
      for (const directory of await before.cycleOf(entry)) gone.set(toHex(directory), directory)
    if (is) for (const directory of await after.cycleOf(entry)) now.set(toHex(directory), directory)
  }
  for (const [key, directory] of gone) if (!now.has(key)) sink.del(cycleKey(directory))
  for (const directory of now.values()) sink.put(cycleKey(directory), NO_BYTES)
}
