import type { AnswerOf } from '../../contract/verbs.ts'
import { note, printJson, printLine } from '../../terminal/print.ts'
import { formatBytes } from '../../terminal/units.ts'
import type { DfsCommand } from '../command.ts'
import { namesText } from '../copies-text.ts'
import type { Session } from '../session.ts'

export const status: DfsCommand = {
  name: 'status',
  summary: 'show the state of this node',
  exits: [],
  async run({ client, isJson }: Session) {
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
  }
}

function workLines(now: AnswerOf<'status'>): string[] {
  const { disk, owed, repairing, atRisk } = now
  return [
    `  ${now.peersConnected} peers connected  ${now.files} files`,
    `  disk ${formatBytes(disk.used)} of ${formatBytes(disk.capacity)}, ${disk.state}`,
    `  owed ${formatBytes(owed.bytes)}  repairing ${formatBytes(repairing.bytes)}  at risk ${atRisk.blocks} blocks`,
    ...owedLines(owed)
  ]
}

function owedLines({ files, waitingFor }: AnswerOf<'status'>['owed']): string[] {
  if (files === 0) return []
  const what = files === 1 ? '1 file that was put here is' : `${files} files that were put here are`
  const whom = waitingFor.length === 0 ? '' : `, waiting for ${namesText(waitingFor, Date.now())}`
  return [`  ${what} not yet on enough machines${whom}`]
}
