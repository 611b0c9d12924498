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
}

export const ls: DfsCommand = {
  name: 'ls',
  summary: 'list a directory',
  exits: ['notFound'],
  declare(command) {
    command
      .argument('[path]', 'directory (default /)', nonEmpty, '/')
      .option('-l, --long', 'with sizes, times, and which files are on this machine', false)
      .option('-R, --recursive', 'with everything below it', false)
  },
  async run({ client, isJson }: Session, path: string, flags: Flags) {
    for await (const item of client.stream('list', { path, recursive: flags.recursive, here: flags.long })) {
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
  return long ? longLine(item, name, process.stdout.isTTY === true) + (conflict ? '  (conflict)' : '') : name
}

/** Returns the line of `ls -l`. A person gets sizes in units, and a script gets bytes. */
export function longLine({ kind, size, modified, here }: AnswerOf<'list'>, name: string, isForPerson: boolean): string {
  const amount = kind === 'directory' ? '-' : isForPerson ? formatBytes(size) : String(size)
  const place = here === true ? 'here' : '-'
  return `${amount.padStart(isForPerson ? 10 : 14)}  ${localTime(modified)}  ${place.padEnd(4)}  ${name}`
}
