import type { CommanderError } from 'commander'

export interface CalledCommand {
  /** The command as it is typed, such as `dfs put`. */
  name: string
  /** The names of the commands below it. */
  below: readonly string[]
  /** The one of them that was probably meant. */
  meant: string | undefined
}

/**
 * Returns what is wrong with a command line, in our words. It never repeats an argument or the value of a flag, since
 * either may be a secret that was typed in a wrong place.
 */
export function usageWords({ code, message }: CommanderError, { name, below, meant }: CalledCommand): string {
  const see = `see ${name} --help`
  switch (code) {
    case 'commander.help':
      return `${name}: no command was given: ${see}`
    case 'commander.unknownOption': {
      const [, flag = ''] = /unknown option '([^'=]*)/.exec(message) ?? []
      const [, meant] = /Did you mean (.*?)\?/.exec(message) ?? []
      return `${flag}: ${name} has no such flag${meant === undefined ? `: ${see}` : `: did you mean ${meant}?`}`
    }
    case 'commander.missingArgument':
      return `${name}: ${(/'(.*)'/.exec(message)?.[1] ?? 'an argument').toUpperCase()} is missing: ${see}`
    case 'commander.optionMissingArgument': {
      const [, flag = '', value = 'value'] = /(--[a-z-]+) [<[](.*?)[>\]]/.exec(message) ?? []
      return `${flag}: ${value.toUpperCase()} is missing: ${see}`
    }
    case 'commander.excessArguments': {
      if (meant !== undefined) return `${name} has no such command: did you mean ${name} ${meant}?`
      if (below.length > 0) return `${name} has no such command: it has ${below.join(', ')}`
      const [, most = '0', given = ''] = /Expected (\d+) arguments? but got (\d+)/.exec(message) ?? []
      return `${name} takes ${most === '0' ? 'no arguments' : most === '1' ? 'one argument' : `at most ${most} arguments`}, and was given ${given}: ${see}`
    }
    case 'commander.invalidArgument': {
      // The only value that a parser refuses in this way is an empty one (`nonEmpty`).
      const flag = /option '.*?(--[a-z-]+)/.exec(message)?.[1]
      const argument = /for argument '(.*?)'/.exec(message)?.[1] ?? 'argument'
      return `${flag ?? `${name}: ${argument.toUpperCase()}`} is empty: was a variable not set?`
    }
    default:
      return `${name}: ${message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ')}`
  }
}
