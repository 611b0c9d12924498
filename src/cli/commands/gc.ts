import { note, printJson, printLine } from '../../terminal/print.ts'
import { addHelpBelow } from '../../terminal/program.ts'
import { tableLines } from '../../terminal/table.ts'
import { formatBytes, formatCount } from '../../terminal/units.ts'
import type { DfsCommand } from '../command.ts'
import type { Session } from '../session.ts'

const HELP = `
The node frees this in time by itself. This command does it now: what deleted files, old versions and cut-off uploads \
left, and copies that other members owe and prove.`

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
    const { blocks, bytes, plan, certain, unreadable } = result
    const amount = `${formatBytes(bytes)} (${formatCount(blocks, 'block')})`
    printLine(plan === null ? `freed ${amount}` : `would free ${amount}`)
    if (plan !== null)
      for (const line of tableLines([
        ['  of deleted files and old versions', formatBytes(plan.released.bytes)],
        ['  of uploads that ended without a file', formatBytes(plan.endedPuts.bytes)],
        ['  copies that other members owe, if they prove theirs', formatBytes(plan.surplus.bytes)]
      ]))
        printLine(line)
    if (!certain)
      note(
        'nothing is freed at the moment, because this node does not know yet which blocks are needed: see dfs status'
      )
    if (unreadable > 0)
      note(`${unreadable} parts of removed files cannot be read, so the blocks below them stay: run dfs fsck`)
  }
}
