import type { Command } from 'commander'
import { defaultDataDir, knownDataDir } from '../terminal/data-dir.ts'
import { usage } from '../terminal/errors.ts'
import type { Where } from './client.ts'

/** The flags that come before the command. */
export interface GlobalFlags {
  dataDir?: string
  api?: string
  tokenFile?: string
  json: boolean
}

export function addGlobalFlags(program: Command): void {
  const { env } = process
  program
    .option(
      '--data-dir <dir>',
      `data directory of the node to talk to (default ${defaultDataDir()})`,
      env['DFS_DATA_DIR'] || defaultDataDir()
    )
    .option('--api <url>', 'address of the API, instead of a data directory', env['DFS_API_URL'] || undefined)
    .option('--token-file <file>', 'file with the token for --api', env['DFS_TOKEN_FILE'] || undefined)
    .option('--json', 'print JSON, for scripts', false)
}

/** Finds the daemon to talk to. A flag on the command line wins over the environment. */
export function whereOf(program: Command): Where {
  const { dataDir, api, tokenFile } = program.opts<GlobalFlags>()
  const isGiven = (flag: keyof GlobalFlags): boolean => program.getOptionValueSource(flag) === 'cli'
  if (isGiven('dataDir') && isGiven('api')) throw usage('--data-dir and --api exclude each other: give one of them')
  if (api === undefined || isGiven('dataDir')) return { dataDir: knownDataDir(dataDir) }
  return { dataDir, api, ...(tokenFile === undefined ? {} : { tokenFile }) }
}
