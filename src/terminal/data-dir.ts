import { userInfo } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { usage } from './errors.ts'

/**
 * Returns the default data directory of a node, which is where programs keep their data on this operating system.
 * Undefined if this user has no home folder, as in some containers. A relative path in the environment does not count:
 * it would mean another directory in each folder that the program is started in.
 */
export function defaultDataDir(env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (process.platform === 'win32')
    return below(absolute(env['LOCALAPPDATA']) ?? below(home(env), 'AppData', 'Local'), 'dfs-node')
  if (process.platform === 'darwin') return below(home(env), 'Library', 'Application Support', 'dfs-node')
  return below(absolute(env['XDG_DATA_HOME']) ?? below(home(env), '.local', 'share'), 'dfs-node')
}

/** Returns a data directory, or throws a usage error if none was given and there is no default one. */
export function knownDataDir(dataDir: string | undefined): string {
  if (dataDir !== undefined) return dataDir
  throw usage('this user has no home folder: name a data directory with --data-dir, or set HOME to a whole path')
}

function home(env: NodeJS.ProcessEnv): string | undefined {
  const given = absolute(process.platform === 'win32' ? env['USERPROFILE'] : env['HOME'])
  if (given !== undefined) return given
  try {
    return absolute(userInfo().homedir)
  } catch {
    // The system does not know this user, as in a container that runs under any user id.
    return undefined
  }
}

function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined
}

function below(folder: string | undefined, ...names: string[]): string | undefined {
  return folder === undefined ? undefined : join(folder, ...names)
}
