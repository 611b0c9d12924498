import { note, printJson, printLine } from '../../terminal/print.ts'
import { formatBytes } from '../../terminal/units.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { forEachPath } from '../each-path.ts'
import type { Session } from '../session.ts'

export const evict: DfsCommand = {
  name: 'evict',
  summary: "free this node's copies, once others have proved theirs",
  exits: ['notFound'],
  declare(command) {
    command.argument('<path...>', 'files or directories', eachNonEmpty)
  },
  async run(session: Session, paths: readonly string[]) {
    const { client, isJson } = session
    await forEachPath(session, paths, 'evicted', async path => {
      const result = await client.call('evict', { path })
      if (isJson) {
        printJson(result)
        return
      }
      printLine(`${result.path}: freed ${formatBytes(result.freed.bytes)} here`)
      if (result.left.blocks > 0)
        note(`${formatBytes(result.left.bytes)} stay here: other members have not proved yet that they hold them`)
    })
  }
}
