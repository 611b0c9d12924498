import type { AnswerOf } from '../../contract/verbs.ts'
import { CliError } from '../../terminal/errors.ts'
import { note, printJson, printLine } from '../../terminal/print.ts'
import { addHelpBelow } from '../../terminal/program.ts'
import { formatCount } from '../../terminal/units.ts'
import type { DfsCommand } from '../command.ts'
import type { Session } from '../session.ts'

type Result = AnswerOf<'fsck'>

const HELP = `
Compares the blocks on this machine with the log, and gets those that are missing or damaged from other members. Names \
the files of which a block is lost. Without --read-data, it notices damage only where a block has another length.`

interface Flags {
  readData?: true
}

export const fsck: DfsCommand = {
  name: 'fsck',
  summary: 'check what is stored here, and repair it',
  exits: ['integrity'],
  declare(command) {
    addHelpBelow(command.option('--read-data', 'also read every block and compare it with its name'), HELP)
  },
  async run({ client, isJson }: Session, { readData }: Flags) {
    const result = await client.call('fsck', { readData })
    const { checked, corrupt, unneeded, repaired, lost, lostCount, certain } = result
    if (isJson) printJson(result)
    else {
      const ofThem = unneeded === 0 ? '' : ` (${unneeded} of them in no file: they are freed in time)`
      const counts = [`${corrupt} damaged${ofThem}`, formatCount(repaired, 'repair'), `${lostCount} lost`]
      printLine(`${formatCount(checked, 'block')} checked, ${counts.join(', ')}`)
      for (const item of lost) printLine(`lost: ${fileOf(item)} (block ${item.cid})`)
      if (!certain)
        note(
          'blocks that look unneeded were kept: this node does not know yet which blocks are needed (see dfs status)'
        )
    }
    if (lostCount > 0) throw new CliError('corrupt', adviceFor(result))
  }
}

function fileOf({ path, more }: Result['lost'][number]): string {
  const named = path ?? 'an old version or a removed file'
  return more === 0 ? named : `${named} and ${formatCount(more, 'more', 'more')}`
}

function adviceFor({ away }: Pick<Result, 'away'>): string {
  return away.length > 0
    ? `blocks are lost here: members that are away may have them (${away.length}), so let them connect and run dfs fsck again`
    : 'blocks are lost, and no member has them: put these files again, or restore an earlier version'
}
