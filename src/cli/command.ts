import { type Command, InvalidArgumentError } from 'commander'
import { EXIT_WORDS, type ExitName, exitLine } from '../terminal/exit.ts'
import type { Session } from './session.ts'

/** A command of `dfs`. Each file in commands/ holds one: its arguments, flags, help, exit codes, and its action. */
export interface DfsCommand {
  name: string
  /** The line that `dfs --help` shows for this command. */
  summary: string
  /** The exit codes that are specific to this command, in addition to the common ones. The help lists both. */
  exits: readonly ExitName[]
  /** Declares the arguments and flags, if there are any. */
  declare?(command: Command): void
  /** Called with the arguments in their order, and then with the flags as one object. */
  run(session: Session, ...args: never[]): Promise<void>
}

/**
 * The exit codes of every command. For every command, the daemon may refuse the token or may not be running, and the
 * user may press Ctrl-C.
 */
const COMMON_EXITS: readonly ExitName[] = ['done', 'failed', 'usage', 'notAllowed', 'unreachable', 'interrupted']

/** Adds a command to the program. `open` opens the session for one run of the command. */
export function addCommand(program: Command, spec: DfsCommand, open: () => Promise<Session>): void {
  const command = program.command(spec.name).description(spec.summary)
  spec.declare?.(command)
  const exits = (Object.keys(EXIT_WORDS) as ExitName[]).filter(
    name => COMMON_EXITS.includes(name) || spec.exits.includes(name)
  )
  command.addHelpText('after', `\n${exitLine(exits)}`)
  command.action(async (...args: unknown[]) => {
    const session = await open()
    try {
      // Commander appends the `Command` object, which no command needs. The other arguments are those that `declare`
      // has declared.
      await spec.run(session, ...(args.slice(0, -1) as never[]))
    } finally {
      session.client.close()
    }
  })
}

/**
 * Checks that an argument is not empty. An empty path would mean the root, so a script that forgot to set a variable
 * would act on the root.
 */
export function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.')
  return text
}
