import type { ComponentLogger, Logger } from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { DfsError } from './errors.ts'

/**
 * Component loggers in libp2p's own shape, so that one logger serves a program's libp2p and its node. Each component
 * has a scope, such as `dfs:blocks:put`.
 *
 * - `log(…)` is for a step that somebody who debugs wants to follow, or for an error that is handled here.
 * - `log.trace(…)` is for frequent events: a block, a frame, a retry.
 * - `log.error(…)` is for events that the owner of the node should know about.
 *
 * The formatters are `%s` and `%d`. A message may name peers, ids, counts and times. It never holds a path, a name, a
 * remote's own words, a key or content: pass caught errors through `reasonOf`.
 */
export type { ComponentLogger, Logger }

/**
 * Writes to stderr the scopes that the environment variable `DEBUG` names, such as `dfs:*` or
 * `dfs:blocks:*,dfs:*:trace`.
 */
export const debugLogger: ComponentLogger = defaultLogger()

/**
 * Returns the text that a log may contain about a caught error. The messages of our own errors contain no path and no
 * secret. Those of the platform and of libraries may, so for such an error only the name and the code are returned.
 */
export function reasonOf(error: unknown): string {
  if (error instanceof DfsError) return `${error.name}: ${error.message}`
  if (!(error instanceof Error)) return 'a value that is not an error'
  const code = (error as NodeJS.ErrnoException).code
  return code === undefined ? error.name : `${error.name} (${code})`
}
