import pino, { type Logger } from 'pino'
import type { LogLevel } from './flags.ts'

/** Opens the daemon's log: JSON lines on stderr. Each line is written before the call returns, so a crash loses none. */
export function openLog(level: LogLevel): Logger {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }))
}

/**
 * The log of one component: each of its lines carries the scope, such as `dfs:members`. Everything that the daemon logs
 * about its node goes through here, so this is also what a libp2p `ComponentLogger` stands on: its `forComponent(scope)`
 * wraps the logger that this returns.
 */
export function scoped(log: Logger, scope: string): Logger {
  return log.child({ scope })
}
