import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Pace } from '../util/pace.ts'
import { Worker } from '../util/worker.ts'
import { LEAF_INTERVAL_MS, LEAF_PAUSE_MS, LEAF_REST, LEAF_ROWS } from './constants.ts'
import type { Store } from './store.ts'

export interface LeafCheckOptions {
  store: Pick<Store, 'checkLeaf'>
  clock: Clock
  logger: ComponentLogger
  onError: (error: unknown) => void
}

/**
 * The worker that compares the segments with the index. A leaf is a group of neighbouring rows that one round compares.
 * Soon after the start the worker compares all leaves in quick succession, because a flipped bit can make the index
 * lose rows without any error. It rests in between for a multiple of the time that a leaf took, so that a node that has
 * just started has most of its processor for other work. After that it compares one leaf at a time with long pauses, and starts again after the
 * last leaf. The store itself reports what a comparison finds. If the disk cannot be read, the next round may succeed.
 */
export function leafCheck({ store, clock, logger, onError }: LeafCheckOptions): Worker {
  const log = logger.forComponent('dfs:disk:leaf-check')
  let isFirstTime = true
  const pace = new Pace({ clock, pauseMs: LEAF_PAUSE_MS, rest: LEAF_REST, idleMs: LEAF_INTERVAL_MS })
  return new Worker({
    name: 'leaf check',
    clock,
    log,
    firstMs: LEAF_PAUSE_MS,
    everyMs: () => pace.nextMs,
    onError,
    work: () =>
      pace.round(async () => {
        const rows = await store.checkLeaf()
        log.trace('rows compared with the index: %d', rows)
        if (rows === LEAF_ROWS) return isFirstTime
        if (isFirstTime) log('compared all rows with the index')
        isFirstTime = false
        return false
      })
  })
}
