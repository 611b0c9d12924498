import { printJson, printLine } from '../../terminal/print.ts'
import type { DfsCommand } from '../command.ts'
import type { Session } from '../session.ts'

export const peers: DfsCommand = {
  name: 'peers',
  summary: 'show the other members',
  exits: [],
  async run({ client, isJson }: Session) {
    const all = await client.call('peers', {})
    if (isJson) {
      printJson(all)
      return
    }
    for (const { peerId, name, role, connected, latencyMs, via } of all) {
      const latency = latencyMs === null ? '' : `, ${Math.round(latencyMs)} ms`
      printLine(`${peerId}  ${name}  ${role}  ${connected ? `connected by ${via}${latency}` : 'not connected'}`)
    }
  }
}
