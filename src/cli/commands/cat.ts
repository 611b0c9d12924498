import { usage } from '../exit.ts'
import type { Session } from '../session.ts'
import { writeOut } from '../stdout.ts'

/** `dfs cat PATH [--range A-B]` */
export async function cat({ client, signal }: Session, path: string, { range }: { range?: string }): Promise<void> {
  const download = await client.get(path, range === undefined ? undefined : parseRange(range), signal)
  await writeOut(download.body)
}

function parseRange(text: string): { from: number; to: number | undefined } {
  const [, from, to] = /^(\d+)-(\d*)$/.exec(text) ?? []
  if (from === undefined || (to !== undefined && to !== '' && Number(to) < Number(from)))
    throw usage('a range reads FIRST-LAST or FIRST-, in bytes from 0')
  return { from: Number(from), to: to === '' || to === undefined ? undefined : Number(to) }
}
