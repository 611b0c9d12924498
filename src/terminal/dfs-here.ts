import { realpathSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { shellQuoted } from './shell.ts'

/** The command that works on every machine with npm. It is what other machines are told. */
export const DFS_ANYWHERE = 'npx -p dfs-node dfs'
/** The programs of this package. */
const BIN = join(import.meta.dirname, '../bin')
/** A folder that `npx` fills. */
const NPX_FOLDER = /[/\\]_npx[/\\]/

/**
 * Returns how a person on this machine runs `dfs`: by its name if that is this package's, as in a container or after a
 * global installation; by npx if npx or npm runs us, whose folders are not in the person's PATH; else by its file.
 */
export function dfsHere(env: NodeJS.ProcessEnv = process.env, bin: string = BIN): string {
  if (NPX_FOLDER.test(bin) || (env['npm_command'] ?? '') !== '') return DFS_ANYWHERE
  const file = join(bin, 'dfs.js')
  const isOnPath = (env['PATH'] ?? '').split(delimiter).some(folder => isSameFile(join(folder, 'dfs'), file))
  return isOnPath ? 'dfs' : `node ${shellQuoted(file)}`
}

function isSameFile(link: string, file: string): boolean {
  try {
    return realpathSync(link) === realpathSync(file)
  } catch {
    // There is no such file in this folder of the PATH.
    return false
  }
}
