import { realpathSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { shellQuoted } from './shell.ts'

/** The commands that work on every machine with npm. They are what other machines are told. */
export const DFS_ANYWHERE = 'npx -p dfs-node dfs'
const ANYWHERE = { dfs: DFS_ANYWHERE, 'dfs-node': 'npx dfs-node' } as const
/** The programs of this package. */
const BIN = join(import.meta.dirname, '../bin')
/** A folder that `npx` fills, and that npm may empty at any time. */
const NPX_FOLDER = /[/\\]_npx[/\\]/

/** Returns the file of a program of this package. */
export function programFile(name: keyof typeof ANYWHERE, bin = BIN): string {
  return join(bin, `${name}.js`)
}

/** Returns true if this package is a copy in the cache of `npx`. */
export function isNpxCopy(bin = BIN): boolean {
  return NPX_FOLDER.test(bin)
}

/**
 * Returns how a person on this machine runs a program of this package: by its name if that is ours, as in a container or
 * after a global installation; by npx if npx or npm runs us, whose folders are not in the person's PATH; else by its
 * file.
 */
export function programHere(
  name: keyof typeof ANYWHERE,
  { env = process.env, bin = BIN }: { env?: NodeJS.ProcessEnv; bin?: string } = {}
): string {
  if (isNpxCopy(bin) || (env['npm_command'] ?? '') !== '') return ANYWHERE[name]
  const file = programFile(name, bin)
  const isOnPath = (env['PATH'] ?? '').split(delimiter).some(folder => isSameFile(join(folder, name), file))
  return isOnPath ? name : `node ${shellQuoted(file)}`
}

function isSameFile(link: string, file: string): boolean {
  try {
    return realpathSync(link) === realpathSync(file)
  } catch {
    // There is no such file in this folder of the PATH.
    return false
  }
}
