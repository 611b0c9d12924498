import type { AnswerOf } from '../../contract/verbs.ts'
import { CliError } from '../../terminal/errors.ts'
import { peerEnd } from '../../terminal/member-text.ts'
import { isStdoutOpen, note, printJson, printLine, stdoutDrained } from '../../terminal/print.ts'
import { formatBytes, formatCount } from '../../terminal/units.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { namesText, outHint, whereText } from '../copies-text.ts'
import type { Session } from '../session.ts'

export const status: DfsCommand = {
  name: 'status',
  summary: 'show the state of this node, or of the copies of files',
  exits: ['notFound'],
  declare(command) {
    command.argument('[path...]', 'files or directories to ask every member about', eachNonEmpty)
  },
  async run(session: Session, paths: readonly string[] = []) {
    if (paths.length > 0) await showCopies(session, paths)
    else await showNode(session)
  }
}

async function showNode({ client, isJson }: Session): Promise<void> {
  const now = await client.call('status', {})
  if (isJson) {
    printJson(now)
    return
  }
  printLine(`${now.name} (${now.role}, ${now.state})  ${now.peerId}`)
  // A machine that waits knows its network only once a member has answered, and has no files.
  if (now.words !== '') printLine(`  network ${now.words}  (${now.network.slice(0, 16)}…)`)
  if (now.state !== 'pending') for (const line of workLines(now)) printLine(line)
  for (const warning of now.warnings) note(`  ! ${warning}`)
  // The node has warned of those that only an admin can declare out.
  const others = now.owed.waitingFor.filter(({ peerId }) => !now.warnings.some(text => text.includes(peerEnd(peerId))))
  const hint = outHint(others, Date.now())
  if (hint !== undefined) note(`  ${hint}`)
}

/** Prints the files that are not yet on enough machines. Throws if there are any, so that a script can ask too. */
async function showCopies({ client, isJson }: Session, paths: readonly string[]): Promise<void> {
  let files = 0
  let lacking = 0
  const awaited = new Map<string, AnswerOf<'copies'>['waitingFor'][number]>()
  for (const path of paths) {
    for await (const item of client.stream('copies', { path })) {
      files++
      if (item.confirmed >= item.wanted) continue
      lacking++
      for (const member of item.waitingFor) awaited.set(member.peerId, member)
      if (!isStdoutOpen()) return
      if (isJson) printJson(item)
      else printLine(`${item.path}  ${whereText(item, Date.now())}`)
      await stdoutDrained()
    }
  }
  if (lacking > 0) {
    const hint = outHint([...awaited.values()], Date.now())
    if (hint !== undefined && !isJson) note(hint)
    const of = `${lacking.toLocaleString('en-US')} of ${formatCount(files, 'file')}`
    throw new CliError('failed', `${of} ${lacking === 1 ? 'is' : 'are'} not yet on enough machines`)
  }
  if (!isJson)
    printLine(
      files === 1 ? 'the file is on enough machines' : `all ${formatCount(files, 'file')} are on enough machines`
    )
}

function workLines(now: AnswerOf<'status'>): string[] {
  const { disk, owed, repairing, atRisk } = now
  return [
    `  ${formatCount(now.peersConnected, 'peer')} connected  ${formatCount(now.files, 'file')}`,
    `  disk ${formatBytes(disk.used)} of ${formatBytes(disk.capacity)}, ${disk.state}`,
    `  owed ${formatBytes(owed.bytes)}  repairing ${formatBytes(repairing.bytes)}  at risk ${formatCount(atRisk.blocks, 'block')}`,
    ...owedLines(owed)
  ]
}

function owedLines({ files, waitingFor }: AnswerOf<'status'>['owed']): string[] {
  if (files === 0) return []
  const what = files === 1 ? '1 file that was put here is' : `${formatCount(files, 'file')} that were put here are`
  const whom = waitingFor.length === 0 ? '' : `, waiting for ${namesText(waitingFor, Date.now())}`
  return [`  ${what} not yet on enough machines${whom}`]
}
