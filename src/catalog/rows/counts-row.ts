import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { asBuffer, concatBytes, u64be } from '../../util/bytes.ts'
import type { EntryRow } from './entry-row.ts'
import { COUNTS_KEY } from './keys.ts'

/**
 * How many entries of some kinds there are. The numbers are in the index, and each batch that changes an entry changes
 * them too. So they are right after a failed batch, a replay and a rebuild, and a start need not count.
 */
export interface Counts {
  /** The files that are not deleted. */
  files: number
  /** The deleted directories. */
  deletedDirectories: number
}

export async function readCounts(index: Pick<IndexDb, 'get'>): Promise<Counts> {
  const value = await index.get(COUNTS_KEY)
  if (value === undefined) return { files: 0, deletedDirectories: 0 }
  const row = asBuffer(value)
  return { files: Number(row.readBigUInt64BE()), deletedDirectories: Number(row.readBigUInt64BE(8)) }
}

export function writeCounts(sink: IndexSink, { files, deletedDirectories }: Counts): void {
  sink.put(COUNTS_KEY, concatBytes(u64be(files), u64be(deletedDirectories)))
}

/** Returns the counts of one entry, given its row; undefined if there is no such entry. */
export function countsOf(row: Pick<EntryRow, 'kind' | 'isDeleted'> | undefined): Counts {
  if (row === undefined) return { files: 0, deletedDirectories: 0 }
  const isFile = row.kind === 'file'
  return { files: isFile && !row.isDeleted ? 1 : 0, deletedDirectories: !isFile && row.isDeleted ? 1 : 0 }
}
