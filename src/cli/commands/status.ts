import { note, printJson, printLine } from '../../terminal/print.ts'
import { formatBytes } from '../../terminal/units.ts'
import type { DfsCommand } from '../command.ts'
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
    printLine(`  network ${now.network.slice(0, 16)}…  ${now.peersConnected} peers connected  ${now.files} files`)
    printLine(`  disk ${formatBytes(now.disk.used)} of ${formatBytes(now.disk.capacity)}, ${now.disk.state}`)
    printLine(
      `  owed ${formatBytes(now.owed.bytes)}  repairing ${formatBytes(now.repairing.bytes)}  at risk ${now.atRisk.blocks} blocks`
    )
    for (const warning of now.warnings) note(`  ! ${warning}`)
  }
}
