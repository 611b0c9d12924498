import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import type { ClockCheck } from './clock-check.ts'
import { STATUS_RENEWALS, VIEW_REFRESH_MS } from './constants.ts'
import type { Join } from './join.ts'
import type { Roster } from './roster.ts'
import type { Settings } from './settings.ts'
import type { Statuses } from './statuses.ts'

export interface TimePassingOptions {
  roster: Pick<Roster, 'refresh'>
  join: Pick<Join, 'endExpired'>
  clocks: Pick<ClockCheck, 'noticeJump'>
  /** The worker that signs our status. */
  status: Pick<Worker, 'wake'>
  statuses: Pick<Statuses, 'refresh'>
  settings: Pick<Settings, 'outAfterMs'>
  clock: Clock
  log: Logger
}

/**
 * Returns the worker that recomputes what changes with time alone: a grant ends and another takes its place, an
 * admission ends with its grant, and a member becomes out. It also notices that our clock was set.
 */
export function timePassing({
  roster,
  join,
  clocks,
  status,
  statuses,
  settings,
  clock,
  log
}: TimePassingOptions): Worker {
  return new Worker({
    name: 'view refresh',
    clock,
    log,
    everyMs: () => Math.min(settings.outAfterMs / STATUS_RENEWALS, VIEW_REFRESH_MS),
    work: async () => {
      // Our last status has a stamp of the wrong clock, so the others may take this member to be out.
      if (clocks.noticeJump()) status.wake()
      roster.refresh()
      join.endExpired()
      statuses.refresh()
    }
  })
}
