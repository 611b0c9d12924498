import type { CommanderError } from 'commander'

/**
 * Returns what is wrong with a command line, in our words. `name` is the command as it is typed, such as `dfs put`, and
 * `below` are the names of the commands below it. It never repeats an argument or the value of a flag, since either may be a secret that was typed in a wrong place.
 */
export function usageWords({ code, message }: CommanderError, name: string, below: readonly string[] = []): string {
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
      if (below.length > 0) return `${name} has no such command below it: it has ${below.join(', ')}`
      const [, most = '0', given = ''] = /Expected (\d+) arguments? but got (\d+)/.exec(message) ?? []
      return `${name} takes ${most === '0' ? 'no arguments' : most === '1' ? 'one argument' : `at most ${most} arguments`}, and was given ${given}: ${see}`
    }
    default:
      return `${name}: ${message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ')}`
  }
}
