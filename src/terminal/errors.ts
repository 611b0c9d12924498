import { systemWords } from '../util/system-words.ts'

/** A failure that one of the programs found, or that the daemon reported to `dfs`. */
export class CliError extends Error {
  override readonly name: string = 'CliError'
  readonly code: string
  /** What the user gave and the failure is about, such as a path. The sentence for people begins with it. */
  readonly about: string | undefined

  constructor(
    code: string,
    message: string,
    { about, ...options }: ErrorOptions & { about?: string | undefined } = {}
  ) {
    super(message, options)
    this.code = code
    this.about = about
  }
}

/** Returns the error for a command line that can never work. */
export function usage(message: string): CliError {
  return new CliError('usage', message)
}

/** Returns a sentence for people about any failure. It begins with what it is about, if that is known. */
export function messageOf(error: unknown): string {
  const { path, syscall } = error as NodeJS.ErrnoException
  const words = reasonOf(error)
  if (error instanceof CliError && error.about !== undefined) return `${shortened(error.about)}: ${words}`
  return path === undefined || syscall === undefined ? words : `${path}: ${words}`
}

/** Like `messageOf`, but does not say what the failure is about. For a line that says it already. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (isOurs(code)) return message
  if (code === undefined) return `something went wrong: ${message}`
  return systemWords(code)
}

/** The most characters of what a failure is about that a line shows. A path may have 4,096 bytes. */
const SHOWN_MAX = 160

function shortened(path: string): string {
  const letters = [...path]
  if (letters.length <= SHOWN_MAX) return path
  const half = SHOWN_MAX / 2
  return `${letters.slice(0, half).join('')}…${letters.slice(-half).join('')}`
}

/** The errors of the system that scripts can tell apart. */
const CODES: Readonly<Record<string, string>> = {
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EACCES: 'not-allowed',
  EPERM: 'not-allowed',
  EROFS: 'read-only'
}

/** Returns a stable code for scripts: one of the library's codes, `usage`, or `failed`. */
export function codeOfAny(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException
  if (isOurs(code)) return code
  const known = code === undefined ? undefined : CODES[code]
  if (known !== undefined) return known
  return name === 'AbortError' ? 'aborted' : 'io'
}

// Our own codes are lower-case words, and those of the system are upper case. We check the text of the code, because
// importing the error classes would make `dfs` load the whole node to print one line.
function isOurs(code: unknown): code is string {
  return typeof code === 'string' && /^[a-z][a-z-]*$/.test(code)
}

/** Returns true if the local file system failed on a file for a reason that need not affect the next file. */
export function isOfOneFile(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return syscall !== undefined && code !== undefined && !['ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE', 'EIO'].includes(code)
}
