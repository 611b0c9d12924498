import type { AnswerOf } from '../../contract/verbs.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { ProgressLine } from '../../terminal/progress.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { forEachPath } from '../each-path.ts'
import { removedText, waitingText } from '../removed-text.ts'
import type { Session } from '../session.ts'

interface Flags {
  recursive: boolean
  purge: boolean
  wait: boolean
}

export const rm: DfsCommand = {
  name: 'rm',
  summary: 'remove a file, or with -r a directory',
  exits: ['notFound', 'noSpace'],
  examples: [
    ['dfs rm -r /photos', 'remove a directory and everything below it'],
    ['dfs rm --wait /photos/x.png', 'remove a file, and wait until every member has done so']
  ],
  declare(command) {
    command
      .argument('<path...>', 'files or directories', eachNonEmpty)
      .option('-r, --recursive', 'remove a directory and everything below it', false)
      .option('--purge', 'remove older versions too: at once if this machine is an admin, else after 7 days', false)
      .option('--wait', 'wait until every member has acknowledged it, but for those that are out', false)
  },
  async run(session: Session, paths: readonly string[], flags: Flags) {
    await forEachPath(session, paths, 'removed', async path => {
      const result = await (flags.wait ? removeAndWait(session, path, flags) : remove(session, path, flags))
      if (session.isJson) printJson(result)
      else printLine(`${paths.length > 1 ? `${result.path}: ` : ''}${removedText(result, Date.now())}`)
    })
  }
}

type Result = AnswerOf<'remove'>

function remove({ client }: Session, path: string, { recursive, purge }: Flags): Promise<Result> {
  return client.call('remove', { path, recursive, ...(purge ? { purge } : {}) })
}

/** Removes, and returns the result once nobody is waited for any more, or once the user has had enough of waiting. */
async function removeAndWait(
  { client, isJson, signal }: Session,
  path: string,
  { recursive, purge }: Flags
): Promise<Result> {
  const line = new ProgressLine(isJson)
  let last: Result | undefined
  try {
    for await (const result of client.stream('removing', { path, recursive, purge })) {
      last = result
      if (result.waitingFor.length > 0) line.show(waitingText(result))
    }
  } catch (error) {
    // It is removed all the same, and the user wants to know on how many members.
    if (!signal.aborted || last === undefined) throw error
  } finally {
    line.hide()
  }
  return last as Result
}
