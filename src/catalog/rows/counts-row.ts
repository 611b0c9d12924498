import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { asBuffer, u64be } from '../../util/bytes.ts'
import type { EntryRow } from './entry-row.ts'
import { COUNTS_KEY } from './keys.ts'

/**
 * Returns the number of files that are not deleted. It is in the index, and each batch that changes an entry changes it
 * too. So it is right after a failed batch, a replay and a rebuild, and a start need not count.
 */
export async function readFileCount(index: Pick<IndexDb, 'get'>): Promise<number> {
  const value = await index.get(COUNTS_KEY)
  return value === undefined ? 0 : Number(asBuffer(value).readBigUInt64BE())
}

/** Writes the number of files. If the index had lost it, it is too low until the next rebuild, and never below nothing. */
export function writeFileCount(sink: Pick<IndexSink, 'put'>, files: number): void {
  sink.put(COUNTS_KEY, u64be(Math.max(0, files)))
}

/** Returns 1 for the row of a file that is not deleted, and 0 for any other, and if there is no such entry. */
export function filesIn(row: Pick<EntryRow, 'kind' | 'isDeleted'> | undefined): number {
  return row?.kind === 'file' && !row.isDeleted ? 1 : 0
}
