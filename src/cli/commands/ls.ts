import { basename } from 'node:path'
import type { AnswerOf } from '../../contract/verbs.ts'
import { isStdoutOpen, printJson, printLine, stdoutDrained } from '../../terminal/print.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'

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
      .argument('[path]', 'directory', nonEmpty, '/')
      .option('-l, --long', 'with sizes and times', false)
      .option('-R, --recursive', 'with everything below it', false)
  },
  async run({ client, isJson }: Session, path: string, flags: Flags) {
    for await (const item of client.stream('list', { path, recursive: flags.recursive })) {
      if (!isStdoutOpen()) return
      if (isJson) printJson(item)
      else printLine(lineOf(item, flags))
      await stdoutDrained()
    }
  }
}

function lineOf(item: AnswerOf<'list'>, { long, recursive }: Flags): string {
  const { path, kind, size, modified, conflict } = item
  const isDirectory = kind === 'directory'
  const name = (recursive ? path : basename(path)) + (isDirectory ? '/' : '')
  if (!long) return name
  const time = modified.slice(0, 16).replace('T', ' ')
  return `${String(isDirectory ? '-' : size).padStart(14)}  ${time}  ${name}${conflict ? '  (conflict)' : ''}`
}
