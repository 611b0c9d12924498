import { type Command, InvalidArgumentError } from 'commander'
import { usage } from '../terminal/errors.ts'
import { type Example, examplesText } from '../terminal/examples.ts'
import { EXIT_NAMES, type ExitName, exitLine } from '../terminal/exit.ts'
import { addHelpBelow, throwUsage } from '../terminal/program.ts'
import { type Call, openSession, type Session } from './session.ts'

interface CommandFacts {
  name: string
  /** The line that the help shows for this command. */
  summary: string
  /** The exit codes that are specific to this command, in addition to the common ones. The help lists both. */
  exits: readonly ExitName[]
  /** Command lines with what they do, for the help of this command. */
  examples?: readonly Example[]
  /** Declares the arguments and flags, if there are any. */
  declare?(command: Command): void
  /** Commands below this one, such as `approve` below `members`. */
  below?: readonly DfsCommand[]
  /** Names below this one that are promised but not built yet. They are refused by name, like those in dfs.ts. */
  unbuiltBelow?: readonly string[]
}

/** A command that talks to the node. */
interface NodeCommand extends CommandFacts {
  /** Called with the arguments in their order, and then with the flags as one object. */
  run(session: Session, ...args: never[]): Promise<void>
}

/** A command that needs no node to run, because it works on the data directory itself. */
interface LocalCommand extends CommandFacts {
  /** As `run`. */
  runLocally(call: Call, ...args: never[]): Promise<void>
}

/** A command of `dfs`. Each file in commands/ holds one: its arguments, flags, help, exit codes, and its action. */
export type DfsCommand = NodeCommand | LocalCommand

/**
 * The exit codes of every command. For every command, the daemon may refuse the token or may not be running, and the
 * user may press Ctrl-C.
 */
const COMMON_EXITS: readonly ExitName[] = ['done', 'failed', 'usage', 'notAllowed', 'unreachable', 'interrupted']

/** Adds a command to the program, or to the command above it. `callOf` tells how the program was called. */
export function addCommand(above: Command, spec: DfsCommand, callOf: () => Call): void {
  const command = above.command(spec.name).description(spec.summary)
  throwUsage(command)
  spec.declare?.(command)
  const exits = EXIT_NAMES.filter(name => COMMON_EXITS.includes(name) || spec.exits.includes(name))
  if (spec.examples !== undefined) addHelpBelow(command, `\n${examplesText(spec.examples)}`)
  addHelpBelow(command, `\n${exitLine(exits)}`)
  command.action(async (...args: unknown[]) => {
    // Commander appends the `Command` object, which no command needs. The other arguments are those that `declare` has
    // declared.
    await runCommand(spec, callOf(), args.slice(0, -1) as never[])
  })
  for (const below of spec.below ?? []) addCommand(command, below, callOf)
  for (const name of spec.unbuiltBelow ?? []) refuseBelow(command, name)
}

async function runCommand(spec: DfsCommand, call: Call, args: never[]): Promise<void> {
  if ('runLocally' in spec) {
    await spec.runLocally(call, ...args)
    return
  }
  const session = await openSession(call)
  try {
    await spec.run(session, ...args)
  } finally {
    session.client.close()
  }
}

function refuseBelow(above: Command, name: string): void {
  above
    .command(name, { hidden: true })
    .argument('[args...]')
    .allowUnknownOption()
    .action(() => {
      throw usage(`dfs ${above.name()} ${name} is not built yet`)
    })
}

/**
 * Checks that an argument is not empty. An empty path would mean the root, so a script that forgot to set a variable
 * would act on the root.
 */
export function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('')
  return text
}

/** The same for each of several arguments. */
export function eachNonEmpty(value: string, before: readonly string[] = []): string[] {
  return [...before, nonEmpty(value)]
}
