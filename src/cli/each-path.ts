import { CliError } from '../terminal/errors.ts'
import { FileFailures } from './file-failures.ts'
import type { Session } from './session.ts'
import { NoAnswerError } from './transport.ts'

/**
 * Does the work of a command for each path, in their order. If several are given, one that fails does not stop the
 * others, as in a shell. `verb` is the participle in "2 could not be removed".
 */
export async function forEachPath(
  { isJson, signal }: Pick<Session, 'isJson' | 'signal'>,
  paths: readonly string[],
  verb: string,
  work: (path: string) => Promise<void>
): Promise<void> {
  if (paths.length === 1) return work(paths[0] as string)
  const failures = new FileFailures(verb, isJson)
  for (const path of paths) {
    signal.throwIfAborted()
    try {
      await work(path)
    } catch (error) {
      if (error instanceof NoAnswerError || !(error instanceof CliError)) throw error
      failures.add(path, error)
    }
  }
  failures.end()
}
