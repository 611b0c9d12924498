import { note, printJson, printLine } from '../../terminal/print.ts'
import { formatBytes } from '../../terminal/units.ts'
import type { Session } from '../session.ts'

/** `dfs status` */
export async function status({ client, isJson }: Session): Promise<void> {
  const now = await client.call('status', {})
  if (isJson) {
    printJson(now)
    return
  }
  printLine(`${now.name} (${now.role}, ${now.state})  ${now.peerId}`)
  printLine(`  network ${now.network.slice(0, 16)}…  ${now.peersConnected} peers connected  ${now.files} files`)
  printLine(`  disk ${formatBytes(now.disk.used)} of ${formatBytes(now.disk.capacity)}, ${now.disk.state}`)
  printLine(`  owed ${formatBytes(now.owed.bytes)}  repairing ${formatBytes(now.repairing.bytes)}`)
  for (const warning of now.warnings) note(`  ! ${warning}`)
}

/** `dfs peers` */
export async function peers({ client, isJson }: Session): Promise<void> {
  const all = await client.call('peers', {})
  if (isJson) {
    printJson(all)
    return
  }
  for (const { peerId, name, role, connected, latencyMs, via } of all) {
    const how = connected
      ? `connected by ${via}${latencyMs === null ? '' : `, ${Math.round(latencyMs)} ms`}`
      : 'not connected'
    printLine(`${peerId}  ${name}  ${role}  ${how}`)
  }
}
