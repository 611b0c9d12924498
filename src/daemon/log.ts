import { format } from 'node:util'
import pino, { type Logger } from 'pino'
import { type Logger as ComponentLog, type ComponentLogger, debugLogger } from '../index.ts'
import type { LogLevel } from './flags.ts'

/**
 * Opens the daemon's log: JSON lines on stderr. Each line is written before the call returns, so a crash loses no line.
 */
export function openLog(level: LogLevel): Logger {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }))
}

/**
 * Returns the log of one component. Each of its lines carries the scope, such as `dfs:members`. `log` must be the log
 * that `openLog` returned, because pino would print two scopes if `log` were the log of a component.
 */
export function scoped(log: Logger, scope: string): Logger {
  return log.child({ scope })
}

/**
 * Returns the logger for all components of the node and of the API. Their lines go to the daemon's log: plain lines at
 * level `debug`, and `trace` and `error` lines at the levels of the same names. If the environment variable `DEBUG` is
 * set, it alone decides which components are shown, and their lines go to stderr as text.
 */
export function componentLogger(log: Logger): ComponentLogger {
  if ((process.env['DEBUG'] ?? '') !== '') return debugLogger
  return { forComponent: scope => logOf(log, scope) }
}

function logOf(log: Logger, scope: string): ComponentLog {
  const own = scoped(log, scope)
  const at = (level: 'debug' | 'trace' | 'error'): ((formatter: unknown, ...args: unknown[]) => void) =>
    own.isLevelEnabled(level) ? (formatter, ...args) => own[level](format(formatter, ...args)) : () => {}
  return Object.assign(at('debug'), {
    error: at('error'),
    trace: at('trace'),
    enabled: own.isLevelEnabled('debug'),
    newScope: (name: string) => logOf(log, `${scope}:${name}`)
  })
}
