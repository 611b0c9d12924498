import type { AnswerOf } from '../../contract/verbs.ts'
import { usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { ProgressLine } from '../../terminal/progress.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { forEachPath } from '../each-path.ts'
import { noteIncomplete } from '../note-incomplete.ts'
import { orInterrupted } from '../or-interrupted.ts'
import { removedText, waitingText } from '../removed-text.ts'
import type { Session } from '../session.ts'

interface Flags {
  recursive: boolean
  purge: boolean
  wait: boolean
  cancel: boolean
}

export const rm: DfsCommand = {
  name: 'rm',
  summary: 'remove a file, or with -r a directory',
  exits: ['notFound', 'noSpace'],
  examples: [
    ['dfs rm -r /photos', 'remove a directory and everything below it'],
    ['dfs rm --wait /x.png', 'remove a file, and wait for all members'],
    ['dfs rm --purge /x.png', 'also end its versions, now or after it was removed'],
    ['dfs rm --cancel /x.png', 'cancel its purge, so that it can be restored']
  ],
  declare(command) {
    command
      .argument('<path...>', 'files or directories', eachNonEmpty)
      .option('-r, --recursive', 'remove a directory and everything below it', false)
      .option('--purge', 'remove the versions too: at once if this machine is an admin, else after 7 days', false)
      .option('--wait', 'wait until every member that is not out has acknowledged it', false)
      .option('--cancel', 'cancel a purge that has not taken effect; the file stays removed', false)
  },
  async run(session: Session, paths: readonly string[], flags: Flags) {
    const { purge, wait, cancel } = flags
    if (cancel && (purge || wait)) throw usage('--cancel goes with neither --purge nor --wait')
    if (flags.recursive) await noteIncomplete(session)
    const verb = cancel ? 'cancelled' : 'removed'
    await forEachPath(session, paths, verb, async path => {
      const work = (): Promise<Result> => resultOf(session, path, flags)
      const result = await (flags.recursive ? orInterrupted(session, () => REMOVED_IN_PART, work) : work())
      if (session.isJson) printJson(result)
      else
        printLine(`${paths.length > 1 ? `${result.path}: ` : ''}${removedText(result, { purge, cancel }, Date.now())}`)
    })
  }
}

const REMOVED_IN_PART = 'what was removed stays removed; the same rm again removes the rest, if any'

type Result = AnswerOf<'remove'>

async function resultOf(session: Session, path: string, flags: Flags): Promise<Result> {
  const { client } = session
  const { recursive, purge, wait, cancel } = flags
  if (cancel) return client.call('cancelPurge', { path })
  if (wait) return removeAndWait(session, path, flags)
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
