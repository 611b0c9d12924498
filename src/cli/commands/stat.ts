import type { AnswerOf } from '../../contract/verbs.ts'
import { shortId } from '../../terminal/member-text.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { formatCount } from '../../terminal/units.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { forEachPath } from '../each-path.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

type Facts = AnswerOf<'stat'>

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
  const facts = await client.call('stat', { path: given })
  const { path, kind, size, root, modified, replicas, versions, conflict, writtenBy, conflicts } = facts
  if (isJson) {
    printJson({ path, kind, size, root, modified, replicas, versions, conflict, writtenBy, conflicts })
    return
  }
  printLine(path)
  // A directory that nobody changed, such as the root, has no time.
  const changed = Date.parse(modified) === 0 ? '' : `, changed ${localTime(modified)}`
  printLine(kind === 'directory' ? `  directory${changed}` : `  file, ${formatCount(size, 'byte')}${changed}`)
  if (writtenBy !== null) printLine(`  written ${writerText(writtenBy)}`)
  printLine(`  copies: ${replicas.confirmed} confirmed, ${replicas.wanted} wanted`)
  if (root !== null) printLine(`  root: ${root}`)
  if (versions > 1) printLine(`  ${formatCount(versions, 'version')}: see dfs versions`)
  if (conflicts.length > 0) for (const line of conflictLines(path, conflicts)) printLine(line)
  else if (conflict) printLine('  it is damaged, or nobody knows where it belongs')
}

function conflictLines(path: string, conflicts: Facts['conflicts']): string[] {
  return [
    '  in conflict: others wrote it at the same time',
    ...conflicts.map(
      ({ version, size, writtenBy, ...other }) =>
        `    ${version.slice(0, 8)}  ${formatCount(size, 'byte')}, ${writerText(writtenBy)}: ${other.path}`
    ),
    `  choose one: dfs restore PATH VERSION makes it the file, dfs rm of the other path keeps ${path}`
  ]
}

function writerText({ peerId, name, at }: NonNullable<Facts['writtenBy']>): string {
  return `by ${name ?? shortId(peerId)}, ${localTime(at)}`
}
