import { printJson, printLine } from '../../terminal/print.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import type { Session } from '../session.ts'

export const stat: DfsCommand = {
  name: 'stat',
  summary: 'show size, time and confirmed copies',
  exits: ['notFound'],
  declare(command) {
    command.argument('<path...>', 'files or directories', eachNonEmpty)
  },
  async run(session: Session, paths: readonly string[]) {
    for (const path of paths) await showOne(session, path)
  }
}

async function showOne({ client, isJson }: Session, given: string): Promise<void> {
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
