import { printJson } from '../../terminal/print.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'

export const mkdir: DfsCommand = {
  name: 'mkdir',
  summary: 'create a directory, and those above it',
  exits: ['noSpace'],
  declare(command) {
    command.argument('<path>', 'directory', nonEmpty)
  },
  async run({ client, isJson }: Session, path: string) {
    const result = await client.call('mkdir', { path })
    if (isJson) printJson(result)
  }
}
