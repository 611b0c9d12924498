import type { Clock } from '../../util/clock.ts'
import type { ComponentLogger, Logger } from '../../util/logger.ts'
import { PUT_SLOW_MS } from '../constants.ts'

/** A value in a line of a put's log. An object is a name that is computed when the line is written. */
export type LogValue = string | number | { toString(): string }

/** The logs that all puts share. They are created once, since creating a log is too expensive for a small put. */
export interface PutLogs {
  put: Logger
  placer: Logger
  acknowledgement: Logger
}

export function putLogs(logger: ComponentLogger): PutLogs {
  return {
    put: logger.forComponent('dfs:blocks:put'),
    placer: logger.forComponent('dfs:blocks:placer'),
    acknowledgement: logger.forComponent('dfs:blocks:acknowledgement')
  }
}

/**
 * Calls `say` once if a wait takes longer than `PUT_SLOW_MS`, unless the log is off. The caller must call the returned
 * function when the wait is over.
 */
export function whenSlow(clock: Clock, log: Logger, say: () => void): () => void {
  return log.enabled ? clock.after(PUT_SLOW_MS, say) : () => {}
}
