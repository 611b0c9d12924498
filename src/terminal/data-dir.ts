import { homedir } from 'node:os'
import { join } from 'node:path'

/** Returns the default data directory of a node, which is where programs keep their data on this operating system. */
export function defaultDataDir(env: NodeJS.ProcessEnv = process.env): string {
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'dfs-node')
  if (process.platform === 'win32') return join(env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'), 'dfs-node')
  return join(env['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'dfs-node')
}
