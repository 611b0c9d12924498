import { usage } from '../terminal/errors.ts'
import { refuseUnbuiltFlags } from '../terminal/unbuilt.ts'

/** Flags and commands that are promised and not built yet. They are refused by name, so that nobody rests on them. */
const COMMANDS = [
  'df',
  'du',
  'versions',
  'restore',
  'sync',
  'replicas',
  'share',
  'unshare',
  'fetch',
  'export',
  'import',
  'members',
  'invite',
  'drain',
  'repair',
  'gc',
  'fsck',
  'network',
  'config',
  'reencrypt',
  'access',
  'console',
  'doctor',
  'service',
  'completion'
]
const COMMAND_FLAGS = ['version', 'watch', 'purge', 'wait', 'cancel']

/** Refuses flags of commands that are not built. Before the command they are the program's own, as `--version` is. */
export function refuseCommandFlags(args: readonly string[], commands: readonly string[]): void {
  const command = args.findIndex(arg => commands.includes(arg))
  if (command >= 0) refuseUnbuiltFlags(args.slice(command), COMMAND_FLAGS)
}

/** Refuses a command that is none of the built ones. */
export function refuseCommand(name: string): never {
  if (COMMANDS.includes(name)) throw usage(`dfs ${name} is not built yet`)
  throw usage('there is no such command: see dfs --help')
}
