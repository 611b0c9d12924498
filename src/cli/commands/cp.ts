import type { AnswerOf } from '../../contract/verbs.ts'
import { printJson } from '../../terminal/print.ts'
import { ProgressLine } from '../../terminal/progress.ts'
import { formatCount } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import { intoDirectory } from '../into-directory.ts'
import { noteIncomplete } from '../note-incomplete.ts'
import { orInterrupted } from '../or-interrupted.ts'
import type { Session } from '../session.ts'

export const cp: DfsCommand = {
  name: 'cp',
  summary: 'copy a file or directory; the copy shares its blocks',
  exits: ['notFound', 'noSpace'],
  declare(command) {
    command
      .argument('<old>', 'file or directory', nonEmpty)
      .argument('<new>', 'new path; if it is a directory, copy into it', nonEmpty)
      .option('--no-clobber', 'fail rather than replace a file')
  },
  async run(session: Session, from: string, to: string, { clobber }: { clobber: boolean }) {
    const { client, isJson } = session
    const target = await intoDirectory(client, from, to)
    await noteIncomplete(session)
    const line = new ProgressLine(isJson)
    let last: AnswerOf<'copying'> | undefined
    const whatIsDone = (): string =>
      last === undefined
        ? 'what was copied already stays'
        : `${countText(last)} or more were copied, and stay in ${last.path}`
    try {
      await orInterrupted(session, whatIsDone, async () => {
        for await (last of client.stream('copying', { from, to: target, noClobber: !clobber }))
          line.show(`copied so far: ${countText(last)}`)
      })
    } finally {
      line.hide()
    }
    if (isJson) printJson(last)
  }
}

function countText({ copied }: AnswerOf<'copying'>): string {
  return formatCount(copied, 'file or directory', 'files and directories')
}
