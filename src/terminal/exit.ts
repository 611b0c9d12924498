import type { ErrorCode } from '../index.ts'
import { codeOfAny, messageOf } from './errors.ts'
import { escapeForTerminal } from './escape.ts'

/** The exit codes of both programs. Scripts rely on them. */
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
export type ExitName = keyof typeof EXIT

/** The exit codes in words, in the order of their numbers. */
const EXIT_WORDS: Record<ExitName, string> = {
  done: 'done',
  failed: 'failed',
  usage: 'wrong usage',
  notFound: 'not found',
  notAllowed: 'not allowed',
  unreachable: 'unreachable',
  integrity: 'damaged',
  noSpace: 'no space',
  interrupted: 'interrupted'
}

export const EXIT_NAMES = Object.keys(EXIT_WORDS) as readonly ExitName[]

/** Returns the line of a help text that lists these exit codes. */
export function exitLine(names: readonly ExitName[]): string {
  return `Exit codes: ${names.map(name => `${EXIT[name]} ${EXIT_WORDS[name]}`).join(', ')}.`
}

const EXITS: Partial<Record<ErrorCode | 'usage', number>> = {
  usage: EXIT.usage,
  invalid: EXIT.usage,
  unsupported: EXIT.usage,
  'is-a-directory': EXIT.usage,
  'not-a-directory': EXIT.usage,
  'not-found': EXIT.notFound,
  'not-allowed': EXIT.notAllowed,
  'clock-off': EXIT.notAllowed,
  expired: EXIT.notAllowed,
  revoked: EXIT.notAllowed,
  'used-up': EXIT.notAllowed,
  'wrong-key': EXIT.notAllowed,
  'wrong-network': EXIT.notAllowed,
  unreachable: EXIT.unreachable,
  busy: EXIT.unreachable,
  corrupt: EXIT.integrity,
  damaged: EXIT.integrity,
  'no-space': EXIT.noSpace,
  'read-only': EXIT.notAllowed,
  aborted: EXIT.interrupted
}

/** Returns the exit code for any failure. */
export function exitOf(error: unknown): number {
  return EXITS[codeOfAny(error) as ErrorCode] ?? EXIT.failed
}

/** Writes a failure to stderr: one line for a person, or one object with `--json`. */
export function report(error: unknown, isJson: boolean): void {
  const message = messageOf(error)
  const line = isJson ? JSON.stringify({ event: 'error', code: codeOfAny(error), message }) : escapeForTerminal(message)
  process.stderr.write(`${line}\n`)
}
