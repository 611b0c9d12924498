import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Pace } from '../util/pace.ts'
import { Worker } from '../util/worker.ts'
import {
  COMPACT_BELOW,
  COMPACT_BELOW_IF_SHORT,
  COMPACT_INTERVAL_MS,
  COMPACT_PAUSE_MS,
  COMPACT_REST
} from './constants.ts'
import type { Store } from './store.ts'

export interface CompactorOptions {
  store: Pick<Store, 'compactable' | 'compact' | 'endWasteful' | 'forgetCompacted'>
  /** Returns true if the space of dead rows is needed soon. */
  isShort: () => boolean
  clock: Clock
  logger: ComponentLogger
  onError: (error: unknown) => void
}

/**
 * The worker that compacts segments, starting with the one that has the lowest live share. It compacts one segment per
 * round and rests in between, so that users hardly notice it. If the disk is full or fails, the next round may succeed.
 * If space is short, it also compacts segments of which only a small part is dead.
 */
export function compactor({ store, isShort, clock, logger, onError }: CompactorOptions): Worker {
  const pace = new Pace({ clock, pauseMs: COMPACT_PAUSE_MS, rest: COMPACT_REST, idleMs: COMPACT_INTERVAL_MS })
  return new Worker({
    name: 'compaction',
    clock,
    log: logger.forComponent('dfs:disk:compaction'),
    everyMs: () => pace.nextMs,
    onError,
    work: signal =>
      pace.round(async () => {
        // Whoever got a place in a removed segment from the index has read it by now.
        store.forgetCompacted()
        await store.endWasteful(COMPACT_BELOW)
        const [emptiest] = store.compactable(isShort() ? COMPACT_BELOW_IF_SHORT : COMPACT_BELOW)
        if (emptiest === undefined) return false
        await store.compact(emptiest, signal)
        return true
      })
  })
}
