import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { asBuffer, u64be } from '../../util/bytes.ts'
import type { EntryRow } from './entry-row.ts'
import { COUNTS_KEY } from './keys.ts'

/**
 * Returns the number of files that are not deleted. It is in the index, and each batch that changes an entry changes it
 * too. So the number stays correct through a failed batch, a replay and a rebuild, and a start need not count the
 * files.
 */
export async function readFileCount(index: Pick<IndexDb, 'get'>): Promise<number> {
  return filesOf(await index.get(COUNTS_KEY))
}

/**
 * Changes the number of files. `isFirst` is false if the batch changes an entry that the index already has. In that
 * case the index must have the number too. Throws an `IndexCorruptError` if it does not, or if the number would become
 * negative.
 */
export async function changeFileCount({
  index,
  sink,
  by,
  isFirst
}: {
  index: Pick<IndexDb, 'get' | 'reportCorrupt'>
  sink: Pick<IndexSink, 'put'>
  by: number
  isFirst: boolean
}): Promise<void> {
  const value = await index.get(COUNTS_KEY)
  const files = filesOf(value) + by
  if (files < 0 || (value === undefined && !isFirst))
    throw index.reportCorrupt('the index has lost the number of files')
  sink.put(COUNTS_KEY, u64be(files))
}

/** Returns 1 for the row of a file that is not deleted. Returns 0 for any other row, and if there is none. */
export function filesIn(row: Pick<EntryRow, 'kind' | 'isDeleted'> | undefined): number {
  return row?.kind === 'file' && !row.isDeleted ? 1 : 0
}

function filesOf(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : Number(asBuffer(value).readBigUInt64BE())
}
