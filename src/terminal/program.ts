import { Command, CommanderError } from 'commander'
import { closest } from './closest.ts'
import { usage } from './errors.ts'
import { EXIT, exitOf, report } from './exit.ts'
import { watchOutput } from './stdout.ts'
import { usageWords } from './usage-words.ts'
import { version } from './version.ts'

/**
 * Returns a program that throws instead of exiting. `runProgram` catches and reports the error. Without `hasVersion`, the
 * program has no flag `--version`, so that a command may have one.
 */
export function newProgram(name: string, description: string, { hasVersion = true } = {}): Command {
  const program = new Command(name)
  if (hasVersion) program.version(version, '--version', 'print the version')
  program
    .description(description)
    .helpOption('-h, --help', 'print this help')
    .configureOutput({ writeErr: () => {} })
    .configureHelp({
      // Texts name their defaults, where a person needs them.
      optionDescription: option => option.description,
      argumentDescription: argument => argument.description,
      // One line a command: its arguments are in its own help.
      subcommandTerm: command => command.name()
    })
  return throwUsage(program)
}

/** Makes a command throw a usage error in our words, instead of exiting. Help and version still end the program. */
export function throwUsage(command: Command): Command {
  return command.exitOverride(error => {
    if (error.exitCode === 0) throw error
    const visible = command.createHelp().visibleCommands(command)
    const below = visible.map(other => other.name()).filter(name => name !== 'help')
    const [first = ''] = command.args
    throw usage(usageWords(error, { name: fullName(command), below, meant: closest(first, below) }))
  })
}

/** The width of a help text where no terminal tells its own. */
const HELP_COLUMNS = 80

/** Adds a text below the help of a command. Its lines are wrapped to the width of the terminal, as those above it are. */
export function addHelpBelow(command: Command, text: string): Command {
  return command.addHelpText('after', () => {
    const columns = command.configureOutput().getOutHelpWidth?.() ?? HELP_COLUMNS
    return command.createHelp().boxWrap(text, columns)
  })
}

/** Returns a command as it is typed, such as `dfs members approve`. */
export function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`
}

/** Runs a program. A failure becomes an exit code and one line on stderr, or one object with `--json`. */
export async function runProgram(isJson: boolean, run: () => Promise<void>): Promise<number> {
  watchOutput(isJson)
  try {
    await run()
    return EXIT.done
  } catch (error) {
    if (error instanceof CommanderError) return EXIT.done
    report(error, isJson)
    return exitOf(error)
  }
}

/** Returns true if an environment variable switches something on. `0`, `false`, `no` and the empty string do not. */
export function isOn(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false', 'no'].includes(value.toLowerCase())
}
