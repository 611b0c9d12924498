import { CliError } from '../terminal/errors.ts'
import { NoAnswerError } from './transport.ts'

/** The codes of failures that have nothing to do with what the user named. */
const OF_NODE: ReadonlySet<string> = new Set(['aborted', 'clock-off', 'usage'])
/** Those that are about the new path of a `mv` or `cp`. All others are about the old one. */
const OF_TARGET: ReadonlySet<string> = new Set(['exists', 'changed', 'is-a-directory', 'not-a-directory'])

/** A code has 6 characters, and people may type white space and hyphens between them. */
const CODE_LENGTH_MAX = 16

/** The arguments of a call that may be named. Others may be secrets, such as the token of an invite. */
interface Named {
  path?: unknown
  from?: unknown
  to?: unknown
  member?: unknown
  code?: unknown
}

/** Returns the error with what it is about, if one of the arguments caused it. The node never repeats a path itself. */
export function aboutArgument(error: unknown, fields: object): unknown {
  const { path, from, to, member, code } = fields as Named
  if (!(error instanceof CliError) || error.about !== undefined || error instanceof NoAnswerError) return error
  if (OF_NODE.has(error.code)) return error
  const about = path ?? member ?? shortCode(code) ?? (OF_TARGET.has(error.code) ? to : from)
  if (typeof about !== 'string') return error
  return new CliError(error.code, error.message, { about, cause: error })
}

/** Something longer is no code, and may be an invite that was typed in its place. */
function shortCode(code: unknown): string | undefined {
  return typeof code === 'string' && code.length <= CODE_LENGTH_MAX ? code : undefined
}
