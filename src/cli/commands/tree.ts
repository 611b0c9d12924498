import { note, printJson, printLine } from '../../terminal/print.ts'
import { formatBytes } from '../../terminal/units.ts'
import type { Session } from '../session.ts'

/** `dfs mkdir PATH` */
export async function mkdir({ client, isJson }: Session, path: string): Promise<void> {
  const result = await client.call('mkdir', { path })
  if (isJson) printJson(result)
}

/** `dfs mv OLD NEW` */
export async function mv(
  { client, isJson }: Session,
  from: string,
  to: string,
  { clobber }: { clobber: boolean }
): Promise<void> {
  const result = await client.call('move', { from, to, noClobber: !clobber })
  if (isJson) printJson(result)
}

/** `dfs cp OLD NEW` */
export async function cp(
  { client, isJson }: Session,
  from: string,
  to: string,
  { clobber }: { clobber: boolean }
): Promise<void> {
  const result = await client.call('copy', { from, to, noClobber: !clobber })
  if (isJson) printJson(result)
}

/** `dfs rm [-r] PATH` */
export async function rm(
  { client, isJson }: Session,
  path: string,
  { recursive }: { recursive: boolean }
): Promise<void> {
  const result = await client.call('remove', { path, recursive })
  if (isJson) printJson(result)
  else if (result.waitingFor.length > 0)
    note(`removed; waiting for ${result.waitingFor.map(({ name }) => name).join(', ')} to hear of it`)
}

/** `dfs evict PATH` */
export async function evict({ client, isJson }: Session, path: string): Promise<void> {
  const result = await client.call('evict', { path })
  if (isJson) printJson(result)
  else {
    printLine(`${result.path}: freed ${formatBytes(result.freed.bytes)} here`)
    if (result.left.blocks > 0) note(`${formatBytes(result.left.bytes)} stay: others do not prove to hold them yet`)
  }
}
