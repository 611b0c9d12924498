import { CliError } from '../terminal/errors.ts'

/** The codes of failures that have their cause in what the user named, and not in the node or the network. */
const OF_ARGUMENT: ReadonlySet<string> = new Set(
  'invalid not-found exists changed is-a-directory not-a-directory damaged corrupt over-limit'.split(' ')
)
/** Those that are about the new path of a `mv` or `cp`. All others are about the old one. */
const OF_TARGET: ReadonlySet<string> = new Set(['exists', 'changed', 'is-a-directory', 'not-a-directory'])

/** The arguments of a call that may be named. Others may be secrets, such as the token of an invite. */
interface Named {
  path?: unknown
  from?: unknown
  to?: unknown
  member?: unknown
}

/** Returns the error with what it is about, if one of the arguments caused it. The node never repeats a path itself. */
export function aboutArgument(error: unknown, fields: object): unknown {
  const { path, from, to, member } = fields as Named
  if (!(error instanceof CliError) || error.about !== undefined || !OF_ARGUMENT.has(error.code)) return error
  const about = path ?? member ?? (OF_TARGET.has(error.code) ? to : from)
  if (typeof about !== 'string') return error
  return new CliError(error.code, error.message, { about, cause: error })
}
