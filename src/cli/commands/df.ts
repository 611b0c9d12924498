import type { AnswerOf } from '../../contract/verbs.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { tableLines } from '../../terminal/table.ts'
import { formatBytes } from '../../terminal/units.ts'
import type { DfsCommand } from '../command.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

type Report = AnswerOf<'df'>

export const df: DfsCommand = {
  name: 'df',
  summary: 'show what members may hold, and what is here',
  exits: [],
  async run({ client, isJson }: Session) {
    const report = await client.call('df', {})
    if (isJson) return printJson(report)
    for (const line of [...tableLines(memberRows(report)), '', 'On this machine:', ...tableLines(hereRows(report))])
      printLine(line)
  }
}

function memberRows({ members }: Report): string[][] {
  const rows = members.map(({ name, self, state, capacity, used }) => [
    self ? `${name} (this machine)` : name,
    state,
    capacity === 0 ? 'stores nothing' : formatBytes(capacity),
    used === null ? '-' : formatBytes(used)
  ])
  return [['MEMBER', 'STATE', 'OFFERS', 'USED'], ...rows]
}

function hereRows({ here }: Report): string[][] {
  const rows: Array<[words: string, bytes: number]> = [
    ['files', here.live],
    ['old versions and removed files', here.versions],
    ['copies that other members owe', here.surplus],
    ['uploads under way, here or on others', here.puts],
    [cutOffWords(here), here.cutOff],
    ['to be freed', here.cache],
    ['catalog', here.catalog],
    ['free', here.free]
  ]
  return rows.map(([words, bytes]) => [`  ${words}`, formatBytes(bytes)])
}

function cutOffWords({ cutOffUntil }: Report['here']): string {
  const words = 'uploads that were cut off'
  return cutOffUntil === null ? words : `${words}, kept for resuming until ${localTime(cutOffUntil)}`
}
