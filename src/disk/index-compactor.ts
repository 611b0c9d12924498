import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { INDEX_COMPACT_INTERVAL_MS, INDEX_DEAD_BYTES_MIN, INDEX_DEAD_SHARE, INDEX_ROW_BYTES } from './constants.ts'
import type { IndexDb } from './index-db.ts'

export interface IndexCompactorOptions {
  index: Pick<IndexDb, 'deletedRows' | 'compact'>
  /** The bytes of the index on the disk, as they were last measured. */
  indexBytes: () => number
  clock: Clock
  logger: ComponentLogger
  onError: (error: unknown) => void
}

/**
 * The worker that frees the room of deleted rows in the index. It waits until they are a good part of the index, so that
 * the work is in proportion to what was deleted, and until a whole interval has passed in which little was deleted, so
 * that the work is done once.
 */
export function indexCompactor({ index, indexBytes, clock, logger, onError }: IndexCompactorOptions): Worker {
  const log = logger.forComponent('dfs:disk:index-compaction')
  let deletedBefore = 0
  return new Worker({
    name: 'index compaction',
    clock,
    log,
    everyMs: INDEX_COMPACT_INTERVAL_MS,
    onError,
    work: async signal => {
      const deleted = index.deletedRows
      const isGoingOn = (deleted - deletedBefore) * INDEX_ROW_BYTES > INDEX_DEAD_BYTES_MIN
      deletedBefore = deleted
      const deadBytes = deleted * INDEX_ROW_BYTES
      if (isGoingOn || deadBytes < Math.max(INDEX_DEAD_BYTES_MIN, INDEX_DEAD_SHARE * indexBytes())) return
      const before = indexBytes()
      await index.compact(signal)
      deletedBefore = 0
      log('compacted the index of %d bytes after %d rows had been deleted', before, deleted)
    }
  })
}
