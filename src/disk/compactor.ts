import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { COMPACT_BELOW, COMPACT_INTERVAL_MS } from './constants.ts'
import type { Store } from './store.ts'

export interface CompactorOptions {
  store: Pick<Store, 'compactable' | 'compact'>
  clock: Clock
  logger: ComponentLogger
  onError: (error: unknown) => void
}

/**
 * Rewrites the segment with the fewest live rows, so that the room of its dead rows comes back. One at a time with a pause
 * between, so that users hardly notice. A disk that is full or fails now may serve the next time.
 */
export function compactor({ store, clock, logger, onError }: CompactorOptions): Worker {
  return new Worker({
    name: 'compaction',
    clock,
    log: logger.forComponent('dfs:disk:compactor'),
    everyMs: COMPACT_INTERVAL_MS,
    onError,
    work: async signal => {
      const [emptiest] = store.compactable(COMPACT_BELOW)
      if (emptiest !== undefined) await store.compact(emptiest, signal)
    }
  })
}
