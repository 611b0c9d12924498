import { Backoff } from '../util/backoff.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { PROBE_BYTES, REOPEN_PAUSE_MS, REOPEN_PAUSE_MS_MAX, START_FREE_BYTES } from './constants.ts'
import { IndexCorruptError, NoSpaceError } from './errors.ts'
import type { Files } from './files.ts'
import type { IndexDb } from './index-db.ts'
import type { Reserve } from './reserve.ts'
import type { Store } from './store.ts'

/** A file that is written and removed again to find out whether the disk accepts writes. */
const PROBE = 'probe'

export interface IndexReopenerOptions {
  store: Pick<Store, 'reopenIndex'>
  index: Pick<IndexDb, 'failure'>
  files: Files
  reserve: Pick<Reserve, 'release' | 'releaseBelow'>
  clock: Clock
  logger: ComponentLogger
  onError: (error: unknown) => void
}

/**
 * The worker that opens the index again after a batch has failed. It waits until the disk has room and accepts a write,
 * because a database that was closed and cannot be opened cannot be read either. Call its `schedule` when the index
 * fails. A corrupt index is left to its owner, who rebuilds it.
 */
export function indexReopener({ store, index, files, reserve, clock, logger, onError }: IndexReopenerOptions): Worker {
  const isDue = (): boolean => index.failure !== undefined && !(index.failure instanceof IndexCorruptError)
  return new Worker({
    name: 'index reopen',
    clock,
    log: logger.forComponent('dfs:disk:index'),
    everyMs: () => (isDue() ? REOPEN_PAUSE_MS : Number.POSITIVE_INFINITY),
    backoff: new Backoff({ minMs: REOPEN_PAUSE_MS, maxMs: REOPEN_PAUSE_MS_MAX }),
    onError,
    work: async signal => {
      if (!isDue()) return
      try {
        await assertTakesWrites(files, reserve)
        await store.reopenIndex(signal)
      } catch (error) {
        // The next round then has more room, for example if a quota is used up.
        if (error instanceof NoSpaceError) await reserve.release()
        throw error
      }
    }
  })
}

async function assertTakesWrites(files: Files, reserve: Pick<Reserve, 'releaseBelow'>): Promise<void> {
  if ((await reserve.releaseBelow(START_FREE_BYTES)) < START_FREE_BYTES)
    throw new NoSpaceError('the disk has too little room to open the index again: free some space on it')
  await files.remove(PROBE)
  try {
    await files.writeNew(PROBE, [new Uint8Array(PROBE_BYTES).fill(1)])
  } finally {
    await files.remove(PROBE)
  }
}
