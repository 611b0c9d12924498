import type { AnswerOf } from '../../contract/verbs.ts'
import { note, printJson, printLine } from '../../terminal/print.ts'
import { addHelpBelow } from '../../terminal/program.ts'
import { tableLines } from '../../terminal/table.ts'
import { formatBytes, formatCount } from '../../terminal/units.ts'
import type { DfsCommand } from '../command.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

type Stay = AnswerOf<'gc'>['stays'][number]

const HELP = `
The node frees this in time by itself. This command does it now: what deleted files, old versions and cut-off uploads \
left, and copies that other members owe and prove. An upload that was cut off and is repeated after this sends all of \
its content again.`

interface Flags {
  dryRun?: true
}

export const gc: DfsCommand = {
  name: 'gc',
  summary: 'free space on this machine that nothing needs',
  exits: [],
  declare(command) {
    addHelpBelow(command.option('--dry-run', 'only say what would be freed, and why'), HELP)
  },
  async run({ client, isJson }: Session, { dryRun }: Flags) {
    const result = await client.call('gc', { dryRun })
    if (isJson) return printJson(result)
    const { blocks, bytes, plan, stays, unreadable } = result
    const amount = `${formatBytes(bytes)} (${formatCount(blocks, 'block')})`
    printLine(plan === null ? `freed ${amount}` : `would free ${amount}`)
    if (plan !== null)
      for (const line of tableLines([
        ['  of deleted files and old versions', formatBytes(plan.released.bytes)],
        ['  of uploads that were cut off or ended without a file', formatBytes(plan.endedPuts.bytes)],
        ['  copies that other members owe, if they prove theirs', formatBytes(plan.surplus.bytes)]
      ]))
        printLine(line)
    for (const stay of stays) note(wordsOf(stay))
    if (unreadable > 0)
      note(`${unreadable} parts of removed files cannot be read, so the blocks below them stay: run dfs fsck`)
  }
}

function wordsOf({ reason, until, author, amount }: Stay): string {
  const time = until === null ? '' : localTime(until)
  const what = amount === null ? 'copies' : `${formatBytes(amount.bytes)} (${formatCount(amount.blocks, 'block')})`
  switch (reason) {
    case 'uncertain':
      return 'nothing is freed at the moment, because this node does not know yet which blocks are needed: see dfs status'
    case 'incomplete':
      return `nothing is freed at the moment, because files by ${author} are incomplete: see dfs status`
    case 'promised':
      return `no copies are freed until ${time}: before its last stop, this node may have promised them to other members`
    case 'unclean':
      return `blocks that nothing claims, if there are any, stay until ${time}: this node was not stopped cleanly, and uploads from before may be repeated`
    case 'unproven':
      return `${what} that other members owe stay: these members did not prove theirs, or something here still needs them`
    case 'puts':
      return `blocks of uploads that are under way, or that other members have not ended, stay until ${time} at the latest`
  }
}
