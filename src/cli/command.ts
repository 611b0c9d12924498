import { type Command, InvalidArgumentError } from 'commander'
import { EXIT_WORDS, type ExitName, exitLine } from '../terminal/exit.ts'
import type { Session } from './session.ts'

/** A command of `dfs`. Each file in commands/ holds one: its arguments, flags, help, exit codes, and what it does. */
export interface DfsCommand {
  name: string
  /** One line of `dfs --help`. */
  summary: string
  /** The exit codes beyond those of every command. The help lists both. */
  exits: readonly ExitName[]
  /** Declares the arguments and flags, if there are any. */
  declare?(command: Command): void
  /** Called with the arguments in their order, and then with the flags as one object. */
  run(session: Session, ...args: never[]): Promise<void>
}

/** The exit codes of every command. The daemon may refuse the token or not run, and the user may press Ctrl-C. */
const COMMON_EXITS: readonly ExitName[] = ['done', 'failed', 'usage', 'notAllowed', 'unreachable', 'interrupted']

/** Adds a command to the program. `open` opens the session that one run of the command works with. */
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
      // Commander appends the command itself, which no command needs. `declare` says what the others are.
      await spec.run(session, ...(args.slice(0, -1) as never[]))
    } finally {
      session.client.close()
    }
  })
}

/** Reads an argument that must not be empty. Otherwise a script that forgot to set a variable would name the root. */
export function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.')
  return text
}
