import { printJson } from '../../terminal/print.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
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
  async run({ client, isJson }: Session, from: string, to: string, { clobber }: { clobber: boolean }) {
    const result = await client.call('copy', { from, to, noClobber: !clobber })
    if (isJson) printJson(result)
  }
}
