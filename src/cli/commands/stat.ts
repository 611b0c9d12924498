import { printJson, printLine } from '../../terminal/print.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'

export const stat: DfsCommand = {
  name: 'stat',
  summary: 'show size, time and confirmed copies',
  exits: ['notFound'],
  declare(command) {
    command.argument('<path>', 'file or directory', nonEmpty)
  },
  async run({ client, isJson }: Session, given: string) {
    const { path, kind, size, root, modified, replicas, versions, conflict } = await client.call('stat', {
      path: given
    })
    if (isJson) {
      printJson({ path, kind, size, root, modified, replicas, versions, conflict })
      return
    }
    printLine(path)
    printLine(`  ${kind}, ${size} bytes, changed ${modified}`)
    printLine(`  copies: ${replicas.confirmed} confirmed, ${replicas.wanted} wanted`)
    if (root !== null) printLine(`  root: ${root}`)
    if (conflict) printLine('  in conflict: there is another version beside it, or it is damaged')
  }
}
