import { Command, CommanderError } from 'commander'
import { EXIT, exitOf, report, usage } from './exit.ts'
import { watchStdout } from './stdout.ts'
import { version } from './version.ts'

/** A program or a command of one, which throws instead of exiting and leaves it to us to say what is wrong. */
export function newProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(version)
    .configureOutput({ writeErr: () => {} })
    .exitOverride()
}

/** Runs a program: what it fails with becomes one line on stderr, or an object with `--json`, and an exit code. */
export async function runProgram(isJson: boolean, run: () => Promise<void>): Promise<number> {
  watchStdout(isJson)
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

/** True if a variable of the environment switches something on: `0`, `false`, `no` and nothing do not. */
export function isOn(value: string | undefined): boolean {
  return value !== undefined && !['', '0', 'false', 'no'].includes(value.toLowerCase())
}

function wrongUsage({ code, message }: CommanderError): Error {
  // Without a command Commander prints the help, and has nothing to say.
  if (code === 'commander.help') return usage('say what to do: see dfs --help')
  return usage(message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' '))
}
