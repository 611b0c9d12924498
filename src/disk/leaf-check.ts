import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { LEAF_INTERVAL_MS, LEAF_PAUSE_MS, LEAF_ROWS } from './constants.ts'
import type { Store } from './store.ts'

export interface LeafCheckOptions {
  store: Pick<Store, 'checkLeaf'>
  clock: Clock
  logger: ComponentLogger
  onError: (error: unknown) => void
}

/**
 * Compares rows of the segments with the index: all of them once, soon after the start, since a flipped bit may have lost
 * rows in silence; then a few from time to time. The store raises doubt by itself about what it finds. A disk that cannot
 * be read just now is no reason to end.
 */
export function leafCheck({ store, clock, logger, onError }: LeafCheckOptions): Worker {
  let isFirstRound = true
  return new Worker({
    name: 'leaf check',
    clock,
    log: logger.forComponent('dfs:disk:leaf-check'),
    firstMs: LEAF_PAUSE_MS,
    everyMs: () => (isFirstRound ? LEAF_PAUSE_MS : LEAF_INTERVAL_MS),
    backoff: { nextMs: () => LEAF_INTERVAL_MS, reset: () => {} },
    onError,
    work: async () => {
      if ((await store.checkLeaf()) < LEAF_ROWS) isFirstRound = false
    }
  })
}
