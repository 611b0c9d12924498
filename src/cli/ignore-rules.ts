import ignore, { type Ignore } from 'ignore'
import { CliError, usage } from '../terminal/errors.ts'

/** The file in a folder that says which of its items are not stored. Its patterns are those of a `.gitignore`. */
export const IGNORE_FILE = '.dfsignore'

interface Level {
  /** The number of folders above the one that these patterns belong to. */
  depth: number
  patterns: Ignore
}

/** The patterns that apply in one folder: those of its own ignore file, of the folders above it, and of `--exclude`. */
export class IgnoreRules {
  readonly #levels: readonly Level[]
  readonly #excludes: Ignore | undefined

  private constructor(levels: readonly Level[], excludes: Ignore | undefined) {
    this.#levels = levels
    this.#excludes = excludes
  }

  /** Returns the rules for a whole tree: patterns from the command line. Throws a usage error for a bad pattern. */
  static of(excludes: readonly string[]): IgnoreRules {
    if (excludes.length === 0) return new IgnoreRules([], undefined)
    try {
      return new IgnoreRules([], parse(excludes))
    } catch (cause) {
      throw new CliError('usage', `--exclude: not a pattern as in a .gitignore: ${excludes.join(' ')}`, { cause })
    }
  }

  /** Returns the rules for a folder whose ignore file has this text. Throws a `CliError` for a bad pattern. */
  within(depth: number, text: string): IgnoreRules {
    try {
      const patterns = parse(text.replace(/^\ufeff/, ''))
      return new IgnoreRules([...this.#levels, { depth, patterns }], this.#excludes)
    } catch (cause) {
      throw new CliError('invalid', `its ${IGNORE_FILE} has a line that is not a pattern as in a .gitignore`, { cause })
    }
  }

  /** Returns true if an item must be left out. The folders above it must not be left out. */
  leavesOut(parts: readonly string[], kind: 'file' | 'directory'): boolean {
    const pathFrom = (depth: number): string => parts.slice(depth).join('/') + (kind === 'directory' ? '/' : '')
    let isOut = false
    // The patterns of a folder further down win over those further up, and the command line wins over all.
    for (const { depth, patterns } of this.#levels) isOut = verdict(patterns, pathFrom(depth), isOut)
    return this.#excludes === undefined ? isOut : verdict(this.#excludes, pathFrom(0), isOut)
  }
}

function verdict(patterns: Ignore, path: string, before: boolean): boolean {
  const { ignored, unignored } = patterns.test(path)
  return ignored || (before && !unignored)
}

/** Parses a list of patterns, or a text with one a line. */
function parse(patterns: readonly string[] | string): Ignore {
  // As git does on a disk that tells upper case from lower case. One pattern must not mean two things on two machines.
  return ignore({ ignorecase: false }).add(patterns)
}

/** Collects the values of a flag that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  if (value === '') throw usage('--exclude needs a pattern')
  return [...before, value]
}
