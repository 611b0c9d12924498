import { printJson, printLine } from '../../terminal/print.ts'
import type { Session } from '../session.ts'

/** `dfs stat PATH` */
export async function stat({ client, isJson }: Session, path: string): Promise<void> {
  const found = await client.call('stat', { path })
  const { kind, size, root, modified, replicas, versions, conflict } = found
  if (isJson) {
    printJson({ path: found.path, kind, size, root, modified, replicas, versions, conflict })
    return
  }
  printLine(`${found.path}`)
  printLine(`  ${kind}, ${size} bytes, changed ${modified}`)
  printLine(`  copies: ${replicas.confirmed} confirmed of ${replicas.wanted} wanted`)
  if (root !== null) printLine(`  root: ${root}`)
  if (conflict) printLine('  in conflict: shown beside another version, or damaged')
}
