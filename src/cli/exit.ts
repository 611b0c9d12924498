import { codeOf, DfsError } from '../index.ts'

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
  override readonly name = 'CliError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

export function usage(message: string): CliError {
  return new CliError('usage', message)
}

const EXITS: Record<string, number> = {
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
  'not-enough-copies': EXIT.unreachable,
  busy: EXIT.unreachable,
  corrupt: EXIT.integrity,
  damaged: EXIT.integrity,
  'no-space': EXIT.noSpace,
  'read-only': EXIT.noSpace,
  aborted: EXIT.interrupted
}

export function exitOf(error: unknown): number {
  return EXITS[codeOfAny(error)] ?? EXIT.failed
}

/** One line on stderr that says what to do; an object with `--json`. */
export function report(error: unknown, isJson: boolean): void {
  const code = codeOfAny(error)
  const message = messageOf(error)
  process.stderr.write(isJson ? `${JSON.stringify({ event: 'error', code, message })}\n` : `${message}\n`)
}

export function messageOf(error: unknown): string {
  if (error instanceof CliError || error instanceof DfsError) return error.message
  const { code, message } = error as NodeJS.ErrnoException
  return code === undefined ? `something went wrong: ${message}` : `the system reported ${code}`
}

function codeOfAny(error: unknown): string {
  return error instanceof CliError ? error.code : codeOf(error)
}
