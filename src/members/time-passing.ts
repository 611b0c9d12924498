import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { STATUS_RENEWALS, VIEW_REFRESH_MS } from './constants.ts'
import type { Join } from './join.ts'
import type { Roster } from './roster.ts'
import type { Settings } from './settings.ts'
import type { Statuses } from './statuses.ts'

export interface TimePassingOptions {
  roster: Pick<Roster, 'refresh'>
  join: Pick<Join, 'endExpired'>
  statuses: Pick<Statuses, 'refresh'>
  settings: Pick<Settings, 'outAfterMs'>
  clock: Clock
  log: Logger
}

/**
 * Returns the worker that recomputes what changes with time alone: a grant ends and another takes its place, an
 * admission ends with its grant, and a member becomes out.
 */
export function timePassing({ roster, join, statuses, settings, clock, log }: TimePassingOptions): Worker {
  return new Worker({
    name: 'view refresh',
    clock,
    log,
    everyMs: () => Math.min(settings.outAfterMs / STATUS_RENEWALS, VIEW_REFRESH_MS),
    work: async () => {
      roster.refresh()
      join.endExpired()
      statuses.refresh()
    }
  })
}
