import { pushAll } from '../util/push-all.ts'
import type { IndexDb } from './index-db.ts'
import { adoptIndex, doubtOps, openedOps, wasClosed } from './index-marks.ts'
import type { RowLog } from './row-log.ts'

/** The findings of opening the store. */
export interface OpenReport {
  /** True if the index was rebuilt from the segments. */
  rebuilt: boolean
  /** True if the last process that opened the store also closed it properly. */
  wasClean: boolean
  replayedRows: number
  /**
   * The number of stretches, in the segments that were read, that do not match their checksums. If the index had to be
   * rebuilt, the `IndexCorruptError` holds the number of stretches that only the old index knew about, and the caller
   * adds that number.
   */
  damagedStretches: number
}

/**
 * Reads the rows that the index lacks from the logs into it, and marks the index as complete and in use. Throws an
 * `IndexCorruptError` if the index cannot be used.
 */
export async function openLogs(logs: readonly RowLog[], index: IndexDb, storeId: Uint8Array): Promise<OpenReport> {
  const isBuilt = await adoptIndex(index, storeId)
  const wasClean = await wasClosed(index)
  const ops = openedOps()
  let [replayedRows, damagedStretches] = [0, 0]
  for (const log of logs) {
    const found = await log.replay()
    pushAll(ops, found.ops)
    replayedRows += found.replayedRows
    damagedStretches += found.damagedStretches
  }
  // A damaged row may have been one that the index does not have yet.
  if (damagedStretches > 0) pushAll(ops, await doubtOps(index))
  // This batch is synced. If it were lost, the next start would mistake a crash for a proper end.
  await index.batch(ops, { sync: true })
  for (const { segments } of logs) damagedStretches += segments.damage.length
  return { rebuilt: !isBuilt, wasClean, replayedRows, damagedStretches }
}

/** Returns a sentence about an opening, for the log. */
export function openedText({ rebuilt, wasClean, replayedRows, damagedStretches }: OpenReport): string {
  const how = wasClean ? 'after a proper end' : 'after a crash or a failed write'
  const built = replayedRows === 0 ? 'an empty store' : 'and built the index from all segments'
  return `opened ${rebuilt ? built : how}; rows replayed: ${replayedRows}, damaged stretches: ${damagedStretches}`
}
