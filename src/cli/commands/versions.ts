import type { AnswerOf } from '../../contract/verbs.ts'
import { shortId } from '../../terminal/member-text.ts'
import { isStdoutOpen, printJson, printLine, stdoutDrained } from '../../terminal/print.ts'
import { formatBytes } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

type Item = AnswerOf<'versions'>
type Flags = Pick<Item, 'current' | 'conflict' | 'deleted' | 'expires' | 'expired' | 'purged'>

/** The digits of an id that people see. They are enough to name a version. */
const DIGITS = 8
const HEADING = lineOf(['VERSION', 'SIZE', 'WRITTEN', 'STATE', 'BY'])

export const versions: DfsCommand = {
  name: 'versions',
  summary: 'list the versions of a file, also of one that was removed',
  exits: ['notFound'],
  examples: [
    ['dfs versions /notes.txt', 'list its versions, the latest first'],
    ['dfs get /notes.txt - --version 3f9a2c1b', 'look at one of them'],
    ['dfs restore /notes.txt 3f9a2c1b', 'make it the current one']
  ],
  declare(command) {
    command.argument('<path>', 'file', nonEmpty)
  },
  async run({ client, isJson }: Session, path: string) {
    let isFirst = true
    for await (const item of client.stream('versions', { path })) {
      if (!isStdoutOpen()) return
      if (isFirst && !isJson) printLine(HEADING)
      isFirst = false
      if (isJson) printJson(item)
      else printLine(versionLine(item))
      await stdoutDrained()
    }
  }
}

/** Returns the line of a version. The name comes last, because it has any length. */
function versionLine({ version, size, written, deleted, author, authorName, ...flags }: Item): string {
  const amount = deleted ? '-' : formatBytes(size)
  const by = authorName ?? shortId(author)
  return lineOf([version.slice(0, DIGITS), amount, localTime(written), stateText({ deleted, ...flags }), by])
}

function stateText({ current, conflict, deleted, expires, expired, purged }: Flags): string {
  if (deleted) return 'removed'
  if (current) return 'current'
  if (expired) return purged ? 'purged' : 'gone'
  if (conflict) return 'conflict'
  return expires === null ? 'kept' : `kept until ${localTime(expires)}`
}

function lineOf([version, size, written, state, by]: readonly [string, string, string, string, string]): string {
  return [version.padEnd(DIGITS), size.padStart(9), written.padEnd(16), state.padEnd(27), by].join('  ')
}
