import { printJson, printLine } from '../../terminal/print.ts'
import { formatCount } from '../../terminal/units.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { forEachPath } from '../each-path.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

export const stat: DfsCommand = {
  name: 'stat',
  summary: 'show size, time and confirmed copies',
  exits: ['notFound'],
  declare(command) {
    command.argument('<path...>', 'files or directories', eachNonEmpty)
  },
  async run(session: Session, paths: readonly string[]) {
    await forEachPath(session, paths, 'shown', path => showOne(session, path))
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
  // A directory that nobody changed, such as the root, has no time.
  const changed = Date.parse(modified) === 0 ? '' : `, changed ${localTime(modified)}`
  printLine(kind === 'directory' ? `  directory${changed}` : `  file, ${formatCount(size, 'byte')}${changed}`)
  printLine(`  copies: ${replicas.confirmed} confirmed, ${replicas.wanted} wanted`)
  if (root !== null) printLine(`  root: ${root}`)
  if (conflict) printLine('  in conflict: there is another version beside it, or it is damaged')
}
