import { basename } from 'node:path'
import type { AnswerOf } from '../../contract/verbs.ts'
import { isStdoutOpen, printJson, printLine, stdoutDrained } from '../../terminal/print.ts'
import { formatBytes } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

interface Flags {
  long: boolean
  recursive: boolean
  deleted: boolean
}

export const ls: DfsCommand = {
  name: 'ls',
  summary: 'list a directory',
  exits: ['notFound'],
  examples: [
    ['dfs ls -lR /photos', 'list everything below a directory'],
    ['dfs ls --deleted /photos', 'list what was removed from it; dfs restore brings it back']
  ],
  declare(command) {
    command
      .argument('[path]', 'directory (default /)', nonEmpty, '/')
      .option('-l, --long', 'with sizes, times, and which files are on this machine', false)
      .option('-R, --recursive', 'with everything below it', false)
      .option('--deleted', 'list what was removed, instead of what is there', false)
  },
  async run({ client, isJson }: Session, path: string, flags: Flags) {
    const { recursive, deleted, long } = flags
    const fields = { path, recursive, here: long && !deleted, ...(deleted ? { deleted } : {}) }
    for await (const item of client.stream('list', fields)) {
      if (!isStdoutOpen()) return
      if (isJson) printJson(item)
      else printLine(lineOf(item, flags))
      await stdoutDrained()
    }
  }
}

function lineOf(item: AnswerOf<'list'>, { long, recursive }: Flags): string {
  const { path, kind, conflict } = item
  const name = (recursive ? path : basename(path)) + (kind === 'directory' ? '/' : '')
  if (!long) return name
  const isForPerson = process.stdout.isTTY === true
  return item.deletedAt === undefined
    ? longLine(item, name, isForPerson) + (conflict ? '  (conflict)' : '')
    : deletedLine(item, name, isForPerson)
}

/** Returns the line of `ls -l --deleted`, with the time of the removal. */
function deletedLine({ kind, size, deletedAt }: AnswerOf<'list'>, name: string, isForPerson: boolean): string {
  return `${amountText({ kind, size }, isForPerson)}  removed ${localTime(deletedAt as string)}  ${name}`
}

function amountText({ kind, size }: Pick<AnswerOf<'list'>, 'kind' | 'size'>, isForPerson: boolean): string {
  const amount = kind === 'directory' ? '-' : isForPerson ? formatBytes(size) : String(size)
  return amount.padStart(isForPerson ? 10 : 14)
}

/** Returns the line of `ls -l`. A person gets sizes in units, and a script gets bytes. */
export function longLine({ kind, size, modified, here }: AnswerOf<'list'>, name: string, isForPerson: boolean): string {
  const place = here === true ? 'here' : '-'
  return `${amountText({ kind, size }, isForPerson)}  ${localTime(modified)}  ${place.padEnd(4)}  ${name}`
}
