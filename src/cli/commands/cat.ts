import { usage } from '../../terminal/errors.ts'
import { writeOut } from '../../terminal/stdout.ts'
import type { ByteRange } from '../client.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'

export const cat: DfsCommand = {
  name: 'cat',
  summary: 'write a file to stdout',
  exits: ['notFound', 'integrity'],
  examples: [['dfs cat /log.txt --range 0-999', 'write the first 1,000 bytes']],
  declare(command) {
    command
      .argument('<path>', 'file', nonEmpty)
      .option('--range <first-last>', 'write only these bytes, counted from 0, both ends included')
      .option('--version <id>', 'write this version of the file (see dfs versions)')
  },
  async run({ client }: Session, path: string, { range, version }: { range?: string; version?: string }) {
    const { body } = await client.get(path, { range: range === undefined ? undefined : parseRange(range), version })
    await writeOut(body)
  }
}

/** Parses a range of bytes such as `0-99`, both ends inclusive, or `100-` for everything from byte 100 on. */
export function parseRange(text: string): ByteRange {
  const [, first, last] = /^(\d+)-(\d*)$/.exec(text) ?? []
  const from = Number(first)
  const to = last === '' ? undefined : Number(last)
  if (first === undefined || !Number.isSafeInteger(from) || (to !== undefined && !(to >= from)))
    throw usage(`--range: "${text}" is not a range: write it as FIRST-LAST or FIRST-, in bytes from 0`)
  return { from, to }
}
