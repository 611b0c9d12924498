import type { AnswerOf } from '../../contract/verbs.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { ProgressLine } from '../../terminal/progress.ts'
import { shellQuoted } from '../../terminal/shell.ts'
import { formatCount } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import { orInterrupted } from '../or-interrupted.ts'
import type { Session } from '../session.ts'

export const restore: DfsCommand = {
  name: 'restore',
  summary: 'bring back an earlier version, or what was removed',
  exits: ['notFound', 'integrity', 'noSpace'],
  examples: [
    ['dfs restore /notes.txt', 'undo its last change or its removal'],
    ['dfs restore /notes.txt 3f9a2c1b', 'make a version current (see dfs versions)'],
    ['dfs restore /photos', 'bring back all that one rm -r took']
  ],
  declare(command) {
    command
      .argument('<path>', 'file or directory', nonEmpty)
      .argument('[version]', 'version of a file; by default the last one that is not current', nonEmpty)
  },
  async run(session: Session, path: string, version: string | undefined) {
    const { client, isJson } = session
    const line = new ProgressLine(isJson)
    let result: Result | undefined
    const fields = { path, ...(version === undefined ? {} : { version }) }
    try {
      await orInterrupted(
        session,
        () => whatIsRestored(path, result),
        async () => {
          for await (result of client.stream('restoring', fields))
            if (result.kind === 'directory') line.show(`restored so far: ${countsText(result)}`)
        }
      )
    } finally {
      line.hide()
    }
    if (isJson) printJson(result)
    else printLine(restoredText(result as Result))
  }
}

type Result = AnswerOf<'restoring'>

/** A restore of a file may have taken effect, and the same restore once more would then undo it. */
function whatIsRestored(path: string, soFar: Result | undefined): string {
  return soFar?.kind === 'directory'
    ? 'what was restored stays; the same restore again brings back the rest'
    : `it may have been restored: see dfs versions ${shellQuoted(path)}`
}

/** Says what was restored. */
function restoredText({ path, kind, restored, left, gone, ...counts }: Result): string {
  if (kind === 'file') return `${path}: restored version ${(restored as string).slice(0, 8)}`
  const alone = left === 0 ? '' : `; left alone: ${formatCount(left, 'file')} whose names are in use again`
  const lost = gone === 0 ? '' : `; left out: ${formatCount(gone, 'file')} whose content is no longer kept`
  return `${path}: restored ${countsText(counts)}${alone}${lost}`
}

function countsText({ files, directories }: Pick<Result, 'files' | 'directories'>): string {
  return `${formatCount(files, 'file')} and ${formatCount(directories, 'directory', 'directories')}`
}
