import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { COMPACT_BELOW, COMPACT_INTERVAL_MS } from './constants.ts'
import type { Store } from './store.ts'

export interface CompactorOptions {
  store: Pick<Store, 'compactable' | 'compact' | 'endWasteful'>
  clock: Clock
  logger: ComponentLogger
  onError: (error: unknown) => void
}

/**
 * The worker that compacts segments, starting with the one that has the lowest live share. It compacts one segment per
 * round, so that users hardly notice it. If the disk is full or fails, the next round may succeed.
 */
export function compactor({ store, clock, logger, onError }: CompactorOptions): Worker {
  return new Worker({
    name: 'compaction',
    clock,
    log: logger.forComponent('dfs:disk:compaction'),
    everyMs: COMPACT_INTERVAL_MS,
    onError,
    work: async signal => {
      store.endWasteful(COMPACT_BELOW)
      const [emptiest] = store.compactable(COMPACT_BELOW)
      if (emptiest !== undefined) await store.compact(emptiest, signal)
    }
  })
}
