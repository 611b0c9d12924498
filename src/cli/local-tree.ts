import { lstatSync, type Stats } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../terminal/errors.ts'
import { isDataDirectory } from './data-directory.ts'
import { IGNORE_FILE, type IgnoreRules } from './ignore-rules.ts'
import { factsOfStats, type LocalFacts } from './local-source.ts'
import { isTemporaryName } from './temporary-name.ts'

const IGNORE_FILE_BYTES_MAX = 1 << 20

/** A local file or folder that is about to be put. */
export interface LocalItem extends LocalFacts {
  local: string
  /** The path relative to the walked folder, split into its parts. */
  parts: string[]
  kind: 'file' | 'directory'
}

/** Why something is left out on purpose. None of these is a failure. */
export type Skipped = 'symlink' | 'pipe' | 'socket' | 'device' | 'excluded' | 'unfinished' | 'data-directory'

export interface WalkOptions {
  rules: IgnoreRules
  /** Called for each item that is left out on purpose, with its path relative to the walked folder. */
  onSkip: (parts: readonly string[], why: Skipped) => void
  /**
   * Called for each item that should be put but cannot be: a name that is not UTF-8 or that is the same text as an
   * earlier name, and a folder that this user may not read. No parts mean the walked folder itself.
   */
  onFault: (parts: readonly string[], error: unknown) => void
}

/**
 * Yields everything below a folder, each folder before its contents. Links are left out, because following one could
 * lead out of the folder, and so is every data directory of a node, with its keys.
 */
export async function* walkLocal(folder: string, options: WalkOptions): AsyncGenerator<LocalItem> {
  const inside = await lookInto(folder, [], options)
  if (inside !== undefined) yield* walkNames(folder, [], inside, options)
}

/** What is in a folder, and the patterns that apply there. */
interface Look {
  /** In the order of their bytes. */
  names: Buffer[]
  rules: IgnoreRules
}

async function* walkNames(
  folder: string,
  above: readonly string[],
  { names, rules }: Look,
  options: WalkOptions
): AsyncGenerator<LocalItem> {
  const { onSkip, onFault } = options
  const taken = new Set<string>()
  for (const bytes of names) {
    const name = bytes.toString('utf8')
    const parts = [...above, name]
    if (!Buffer.from(name, 'utf8').equals(bytes)) {
      onFault(parts, new CliError('invalid', 'its name is not UTF-8: rename it'))
      continue
    }
    const local = join(folder, name)
    const found = look(local, error => onFault(parts, error))
    if (found === undefined) continue
    const kind = kindOf(found)
    const skipped = kind === 'file' || kind === 'directory' ? leftOut(parts, kind, rules) : kind
    if (skipped !== undefined) {
      onSkip(parts, skipped)
      continue
    }
    // Two local names that are equal in NFC are the same name in the network, so the second file would replace the
    // first.
    const text = name.normalize('NFC')
    if (taken.has(text)) {
      onFault(
        parts,
        new CliError('exists', 'another name in this folder is the same text in other code points: rename one of them')
      )
      continue
    }
    taken.add(text)
    const item = { local, parts, ...factsOfStats(found) }
    if (kind === 'file') yield { ...item, kind }
    else {
      const inside = await lookInto(local, parts, { ...options, rules })
      if (inside === undefined) continue
      yield { ...item, kind: 'directory' }
      yield* walkNames(local, parts, inside, options)
    }
  }
}

/** Looks at an item. This is synchronous, because a hop to another thread and back takes longer than a look. */
function look(local: string, onError: (error: unknown) => void): Stats | undefined {
  try {
    return lstatSync(local)
  } catch (error) {
    onError(error)
    return undefined
  }
}

/** Returns undefined if the folder cannot be read or is a data directory. Then it has been reported. */
async function lookInto(
  folder: string,
  parts: readonly string[],
  { rules, onSkip, onFault }: WalkOptions
): Promise<Look | undefined> {
  try {
    const names = (await readdir(folder, { encoding: 'buffer' })).sort(Buffer.compare)
    if (await isDataDirectory(folder, name => names.some(other => other.equals(Buffer.from(name))))) {
      onSkip(parts, 'data-directory')
      return undefined
    }
    const hasRules = names.some(name => name.equals(IGNORE_NAME))
    // If the patterns cannot be read, nothing of the folder is put, because the patterns may exclude any of it.
    const text = hasRules ? await readRules(join(folder, IGNORE_FILE)) : undefined
    return { names, rules: text === undefined ? rules : rules.within(parts.length, text) }
  } catch (error) {
    onFault(parts, error)
    return undefined
  }
}

const IGNORE_NAME = Buffer.from(IGNORE_FILE)

/** Returns the patterns in an ignore file, or undefined if something else has its name. */
async function readRules(path: string): Promise<string | undefined> {
  const found = await stat(path)
  if (!found.isFile()) return undefined
  if (found.size > IGNORE_FILE_BYTES_MAX) throw new CliError('invalid', `its ${IGNORE_FILE} is too long`)
  return readFile(path, 'utf8')
}

function leftOut(parts: readonly string[], kind: 'file' | 'directory', rules: IgnoreRules): Skipped | undefined {
  if (kind === 'file' && isTemporaryName(parts.at(-1) as string)) return 'unfinished'
  return rules.leavesOut(parts, kind) ? 'excluded' : undefined
}

function kindOf(found: Stats): 'file' | 'directory' | Skipped {
  if (found.isFile()) return 'file'
  if (found.isDirectory()) return 'directory'
  if (found.isSymbolicLink()) return 'symlink'
  if (found.isFIFO()) return 'pipe'
  return found.isSocket() ? 'socket' : 'device'
}
