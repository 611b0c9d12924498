import { note, printJson, printLine } from '../../terminal/print.ts'
import { tableLines } from '../../terminal/table.ts'
import { formatBytes, formatCount } from '../../terminal/units.ts'
import type { DfsCommand } from '../command.ts'
import type { Session } from '../session.ts'

interface Flags {
  dryRun?: true
}

export const gc: DfsCommand = {
  name: 'gc',
  summary: 'free space here that nothing needs, now',
  exits: [],
  declare(command) {
    command.option('--dry-run', 'only say what would be freed, and why')
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
      note(`${unreadable} parts of files that are gone cannot be read, so what belongs to them stays: run dfs fsck`)
  }
}
