import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Pace } from '../util/pace.ts'
import { Worker } from '../util/worker.ts'
import { ERASE_INTERVAL_MS, ERASE_PAUSE_MS, ERASE_REST } from './constants.ts'
import type { Store } from './store.ts'

export interface EraserOptions {
  store: Pick<Store, 'eraseNext'>
  clock: Clock
  logger: ComponentLogger
  onError: (error: unknown) => void
}

/**
 * The worker that overwrites the bytes of large blocks that were freed. It erases a few at a time and rests in between,
 * so that users hardly notice it. If the disk fails, the next round may succeed.
 */
export function eraser({ store, clock, logger, onError }: EraserOptions): Worker {
  const pace = new Pace({ clock, pauseMs: ERASE_PAUSE_MS, rest: ERASE_REST, idleMs: ERASE_INTERVAL_MS })
  return new Worker({
    name: 'erasure',
    clock,
    log: logger.forComponent('dfs:disk:erasure'),
    everyMs: () => pace.nextMs,
    onError,
    work: signal => pace.round(async () => (await store.eraseNext(signal)) > 0)
  })
}
