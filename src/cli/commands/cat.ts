import { usage } from '../../terminal/errors.ts'
import { writeOut } from '../../terminal/stdout.ts'
import type { Session } from '../session.ts'

/** `dfs cat PATH [--range A-B]` */
export async function cat({ client }: Session, path: string, { range }: { range?: string }): Promise<void> {
  const { body } = await client.get(path, range === undefined ? undefined : parseRange(range))
  await writeOut(body)
}

/** Bytes as in `0-99`, both inclusive, or `100-` for all from there. */
export function parseRange(text: string): { from: number; to: number | undefined } {
  const [, first, last] = /^(\d+)-(\d*)$/.exec(text) ?? []
  const from = Number(first)
  const to = last === '' ? undefined : Number(last)
  if (first === undefined || !Number.isSafeInteger(from) || (to !== undefined && !(to >= from)))
    throw usage('a range reads FIRST-LAST or FIRST-, in bytes from 0')
  return { from, to }
}
