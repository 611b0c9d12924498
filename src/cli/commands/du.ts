import { printJson, printLine } from '../../terminal/print.ts'
import { formatBytes, formatCount } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'

export const du: DfsCommand = {
  name: 'du',
  summary: 'show how much a file or directory takes up',
  exits: ['notFound'],
  declare(command) {
    command.argument('<path>', 'file or directory', nonEmpty)
  },
  async run({ client, isJson }: Session, path: string) {
    const usage = await client.call('du', { path })
    if (isJson) return printJson(usage)
    const { files, size, here, versions } = usage
    const parts = [
      `${formatBytes(size)} in ${formatCount(files, 'file')}`,
      `${formatBytes(here)} of it on this machine`,
      ...(versions > 0 ? [`${formatBytes(versions)} in old versions`] : [])
    ]
    printLine(`${usage.path}: ${parts.join(', ')}`)
  }
}
