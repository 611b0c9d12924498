import type { NodeEvent } from '../../api.ts'
import type { DiskMonitor } from '../../disk/disk-monitor.ts'
import { NoSpaceError, ReadOnlyError } from '../../disk/errors.ts'
import { codeOf, isAbort } from '../../util/errors.ts'

/** Returns a listener that reports errors of background work as events. */
export function failureReporter(
  task: string,
  monitor: DiskMonitor,
  onEvent: (event: NodeEvent) => void
): (error: unknown) => void {
  return error => {
    if (isAbort(error)) return
    monitor.update()
    // Every write to a full or read-only disk fails, and the disk monitor has already reported that state.
    if (error instanceof NoSpaceError || error instanceof ReadOnlyError) return
    onEvent({ event: 'failed', code: codeOf(error), task })
  }
}
