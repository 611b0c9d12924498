import { note, printJson } from '../../terminal/print.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { namesText } from '../copies-text.ts'
import { forEachPath } from '../each-path.ts'
import type { Session } from '../session.ts'

export const rm: DfsCommand = {
  name: 'rm',
  summary: 'remove a file, or with -r a directory',
  exits: ['notFound', 'noSpace'],
  examples: [['dfs rm -r /photos', 'remove a directory and everything below it']],
  declare(command) {
    command
      .argument('<path...>', 'files or directories', eachNonEmpty)
      .option('-r, --recursive', 'remove a directory and everything below it', false)
  },
  async run(session: Session, paths: readonly string[], { recursive }: { recursive: boolean }) {
    const { client, isJson } = session
    await forEachPath(session, paths, 'removed', async path => {
      const result = await client.call('remove', { path, recursive })
      if (isJson) printJson(result)
      else if (result.waitingFor.length > 0)
        note(`removed; these members have not confirmed it yet: ${namesText(result.waitingFor, Date.now())}`)
    })
  }
}
