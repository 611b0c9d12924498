import pino, { type Logger } from 'pino'
import type { LogLevel } from './flags.ts'

/** Opens the daemon's log: JSON lines on stderr. Each line is written before the call returns, so a crash loses none. */
export function openLog(level: LogLevel): Logger {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }))
}

/**
 * Returns the log of one component: each of its lines carries the scope, such as `dfs:members`. Everything that the daemon
 * logs about its node goes through here, so a libp2p `ComponentLogger` over pino belongs into this file: its
 * `forComponent(scope)` wraps the logger that this returns. `log` must be the whole log, because pino would print the scope
 * of a component's log twice.
 */
export function scoped(log: Logger, scope: string): Logger {
  return log.child({ scope })
}
