import { format } from 'node:util'
import pino, { type DestinationStream, type Logger } from 'pino'
import { type Logger as ComponentLog, type ComponentLogger, debugLogger } from '../index.ts'
import { escapeForTerminal } from '../terminal/escape.ts'
import type { LogLevel } from './flags.ts'

/** The daemon's log, and for whom it is written. */
export interface DaemonLog {
  log: Logger
  /** True if the lines are text for a person at a terminal, and false if they are JSON. */
  isForPeople: boolean
}

/**
 * Opens the daemon's log on stderr. On a terminal it is text, unless `json` is set; otherwise it is JSON lines. Each
 * line is written before the call returns, so a crash loses no line.
 */
export function openLog({ logLevel, json }: { logLevel: LogLevel; json: boolean }): DaemonLog {
  const stderr = pino.destination({ dest: 2, sync: true })
  // If stderr cannot be written, such as after its terminal was closed, nobody can be told of it.
  stderr.on('error', () => {})
  const isForPeople = !json && process.stderr.isTTY === true
  return { log: pino({ level: logLevel, base: null }, isForPeople ? textTo(stderr) : stderr), isForPeople }
}

/** Returns a destination that turns the log's JSON lines into text. */
export function textTo(out: DestinationStream): DestinationStream {
  // The line that counts down while this machine waits to be let in is drawn over.
  return { write: line => out.write(`\r\x1b[K${textLine(line)}\n`) }
}

/**
 * Returns a line of the log as text for a terminal: the time of day, and what happened. A warning or an error begins
 * with that word. Lines for debugging show their level and scope.
 */
export function textLine(json: string): string {
  const { time, level, scope, msg, ...fields } = JSON.parse(json) as Record<string, unknown>
  const name = pino.levels.labels[level as number] ?? 'info'
  const start = name === 'info' ? '' : LEVEL_WORDS[name] ? `${LEVEL_WORDS[name]}: ` : `${name} ${scope}: `
  const more = Object.entries(fields).map(([key, value]) => ` ${key}=${value}`)
  return escapeForTerminal(`${timeOfDay(new Date(time as number))} ${start}${msg}${more.join('')}`)
}

const LEVEL_WORDS: Record<string, string> = { warn: 'warning', error: 'error', fatal: 'error' }

function timeOfDay(time: Date): string {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(part => String(part).padStart(2, '0')).join(':')
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
