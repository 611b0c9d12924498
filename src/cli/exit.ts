import type { ErrorCode } from '../index.ts'
import { escapeForTerminal } from './escape.ts'

/** How a program ends: a contract that scripts rest on. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  unreachable: 5,
  integrity: 6,
  noSpace: 7,
  interrupted: 130
} as const

/** A failure that the command line itself found, or that the daemon reported. */
export class CliError extends Error {
  override readonly name: string = 'CliError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** No daemon answers, or no longer: nothing else that is asked of it will succeed either. */
export class NoAnswerError extends CliError {
  override readonly name = 'NoAnswerError'

  constructor(message: string, options?: ErrorOptions) {
    super('unreachable', message, options)
  }
}

export function usage(message: string): CliError {
  return new CliError('usage', message)
}

const EXITS: Partial<Record<ErrorCode | 'usage', number>> = {
  usage: EXIT.usage,
  invalid: EXIT.usage,
  unsupported: EXIT.usage,
  'is-a-directory': EXIT.usage,
  'not-found': EXIT.notFound,
  'not-allowed': EXIT.notAllowed,
  'clock-off': EXIT.notAllowed,
  'wrong-key': EXIT.notAllowed,
  'wrong-network': EXIT.notAllowed,
  unreachable: EXIT.unreachable,
  busy: EXIT.unreachable,
  corrupt: EXIT.integrity,
  damaged: EXIT.integrity,
  'no-space': EXIT.noSpace,
  'read-only': EXIT.noSpace,
  aborted: EXIT.interrupted
}

/** What the local system says, in words. */
const SYSTEM: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the disk is read-only',
  EDQUOT: 'no space left on this disk',
  ENOSPC: 'no space left on this disk',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a file is where a folder should be',
  EISDIR: 'a folder is where a file should be',
  ENAMETOOLONG: 'the name is too long for this disk',
  EADDRNOTAVAIL: 'this machine has no such address'
}

export function exitOf(error: unknown): number {
  return EXITS[codeOfAny(error) as ErrorCode] ?? EXIT.failed
}

/** One line on stderr that says what to do; an object with `--json`. */
export function report(error: unknown, isJson: boolean): void {
  const message = messageOf(error)
  const line = isJson ? JSON.stringify({ event: 'error', code: codeOfAny(error), message }) : escapeForTerminal(message)
  process.stderr.write(`${line}\n`)
}

export function messageOf(error: unknown): string {
  const { code, message, path } = error as NodeJS.ErrnoException
  if (isOurs(code)) return message
  if (code === undefined) return `something went wrong: ${message}`
  const said = SYSTEM[code] ?? `the system reported ${code}`
  return path === undefined ? said : `${said}: ${path}`
}

/** Stable, for scripts: one of the library's codes, `usage`, or `failed`. */
export function codeOfAny(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException
  if (isOurs(code)) return code
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'no-space'
  return name === 'AbortError' ? 'aborted' : 'io'
}

// The library's errors and those of the command line bear words; the system's are in capitals. Looked at rather than
// imported: `dfs` would load the whole node to print one line.
function isOurs(code: unknown): code is string {
  return typeof code === 'string' && /^[a-z][a-z-]*$/.test(code)
}

/** True for a failure of the local file system that concerns one file and says nothing about the next. */
export function isOfOneFile(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return syscall !== undefined && code !== undefined && !['ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'EIO'].includes(code)
}
