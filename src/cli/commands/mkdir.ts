import { printJson } from '../../terminal/print.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { forEachPath } from '../each-path.ts'
import type { Session } from '../session.ts'

export const mkdir: DfsCommand = {
  name: 'mkdir',
  summary: 'create a directory, and those above it',
  exits: ['noSpace'],
  declare(command) {
    command.argument('<path...>', 'directories', eachNonEmpty)
  },
  async run(session: Session, paths: readonly string[]) {
    const { client, isJson } = session
    await forEachPath(session, paths, 'created', async path => {
      const result = await client.call('mkdir', { path })
      if (isJson) printJson(result)
    })
  }
}
