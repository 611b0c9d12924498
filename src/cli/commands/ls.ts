import { basename } from 'node:path'
import { isHeard, printJson, printLine } from '../../terminal/print.ts'
import type { Session } from '../session.ts'

/** `dfs ls [-l] [-R] [PATH]` */
export async function ls(
  { client, isJson }: Session,
  path: string,
  { long, recursive }: { long: boolean; recursive: boolean }
): Promise<void> {
  for await (const item of client.stream('list', { path, recursive })) {
    if (!isHeard()) return
    if (isJson) {
      printJson(item)
      continue
    }
    const { kind, size, modified, conflict } = item
    const name = (recursive ? item.path : basename(item.path)) + (kind === 'directory' ? '/' : '')
    const mark = conflict ? '  (conflict)' : ''
    if (!long) printLine(name)
    else {
      const time = modified.slice(0, 16).replace('T', ' ')
      printLine(`${String(kind === 'directory' ? '-' : size).padStart(14)}  ${time}  ${name}${mark}`)
    }
  }
}
