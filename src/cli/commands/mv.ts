import { printJson } from '../../terminal/print.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import { intoDirectory } from '../into-directory.ts'
import type { Session } from '../session.ts'

export const mv: DfsCommand = {
  name: 'mv',
  summary: 'move or rename a file or directory',
  exits: ['notFound', 'noSpace'],
  declare(command) {
    command
      .argument('<old>', 'file or directory', nonEmpty)
      .argument('<new>', 'new path; if it is a directory, move into it', nonEmpty)
      .option('--no-clobber', 'fail rather than replace a file')
  },
  async run({ client, isJson }: Session, from: string, to: string, { clobber }: { clobber: boolean }) {
    const target = await intoDirectory(client, from, to)
    const result = await client.call('move', { from, to: target, noClobber: !clobber })
    if (isJson) printJson(result)
  }
}
