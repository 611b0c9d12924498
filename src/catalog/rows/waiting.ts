import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { ROOT_ENTRY } from '../../format/entry.ts'
import { equalBytes, toHex, u64be } from '../../util/bytes.ts'
import type { DirectoryChanges } from './directory-changes.ts'
import { waitingKey } from './keys.ts'
import type { PendingRow, PendingRows } from './pending-rows.ts'

export interface WaitingContext {
  index: Pick<IndexDb, 'has'>
  rows: PendingRows
  /** The changes of the batch to the directory tables. */
  changes: Pick<DirectoryChanges, 'hasRows'>
  sink: IndexSink
  /** When the first record that the batch has of an entry reached this member, in ms since the Unix epoch, by id. */
  arrivals: ReadonlyMap<string, number>
}

/** A parent whose row of `waiting` a batch may change. */
interface Parent {
  id: Uint8Array
  /** True if the batch turns it into a directory. */
  isNew: boolean
  sinceMs: number
}

/**
 * Writes the rows of the parents that are unknown, or not directories, and have entries below them. A row exists
 * exactly as long as the reason for it.
 */
export async function writeWaiting(context: WaitingContext): Promise<void> {
  const { index, rows, changes, sink } = context
  for (const { id, isNew, sinceMs } of parentsIn(context)) {
    if (equalBytes(id, ROOT_ENTRY)) continue
    const isDirectory = await rows.isDirectory(id)
    if (isDirectory && !isNew) continue
    const key = waitingKey(id)
    const isWaiting = await index.has(key)
    if (isWaiting && (isDirectory || !(await changes.hasRows(id)))) sink.del(key)
    else if (!isWaiting && !isDirectory && (await changes.hasRows(id))) sink.put(key, u64be(Math.floor(sinceMs)))
  }
}

function parentsIn({ rows, arrivals }: WaitingContext): Iterable<Parent> {
  // A directory that shows again because of an entry of the batch has no record in the batch, so it gets the earliest
  // time.
  const first = [...arrivals.values()].reduce((least, atMs) => Math.min(least, atMs), Number.POSITIVE_INFINITY)
  const parents = new Map<string, Parent>()
  const note = (id: Uint8Array, isNew: boolean, sinceMs: number): void => {
    const known = parents.get(toHex(id))
    if (known === undefined) parents.set(toHex(id), { id, isNew, sinceMs })
    else {
      known.isNew ||= isNew
      known.sinceMs = Math.min(known.sinceMs, sinceMs)
    }
  }
  for (const pending of rows.all()) notePlaces(pending, arrivals.get(toHex(pending.entry)) ?? first, note)
  return parents.values()
}

function notePlaces(
  { entry, old, row }: PendingRow,
  sinceMs: number,
  note: (id: Uint8Array, isNew: boolean, sinceMs: number) => void
): void {
  const [is, was] = [row.kind === 'directory', old?.kind === 'directory']
  if (is !== was) note(entry, is, sinceMs)
  if (row.name !== undefined) note(row.parent, false, sinceMs)
  if (old?.name !== undefined && !equalBytes(old.parent, row.parent)) note(old.parent, false, sinceMs)
}
