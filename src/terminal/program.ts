import { Command, CommanderError } from 'commander'
import { usage } from './errors.ts'
import { EXIT, exitOf, report } from './exit.ts'
import { watchOutput } from './stdout.ts'
import { version } from './version.ts'

/** Returns a program or subcommand that throws instead of exiting. `runProgram` catches and reports the error. */
export function newProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(version)
    .configureOutput({ writeErr: () => {} })
    .exitOverride()
}

/** Runs a program. A failure becomes an exit code and one line on stderr, or one object with `--json`. */
export async function runProgram(isJson: boolean, run: () => Promise<void>): Promise<number> {
  watchOutput(isJson)
  try {
    await run()
    return EXIT.done
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return EXIT.done
    const error = thrown instanceof CommanderError ? wrongUsage(thrown) : thrown
    report(error, isJson)
    return exitOf(error)
  }
}

/** Returns true if an environment variable switches something on. `0`, `false`, `no` and the empty string do not. */
export function isOn(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false', 'no'].includes(value.toLowerCase())
}

function wrongUsage({ code, message }: CommanderError): Error {
  // Without a command, Commander prints the help and gives no message of its own.
  if (code === 'commander.help') return usage('no command was given: see dfs --help')
  return usage(message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' '))
}
