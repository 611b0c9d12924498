import { usage } from './exit.ts'

/** Flags and commands that are promised and not built yet. They are refused by name, so that nobody rests on them. */
const DAEMON_FLAGS = [
  'join',
  'recover',
  'invite-out',
  'role',
  'zone',
  'cache',
  'chunker',
  'dedupe',
  'webdav',
  's3',
  'public',
  'tls-cert',
  'tls-key',
  'plain-http',
  'config'
]
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

/** Refuses the daemon's flags that are not built. */
export function refuseDaemonFlags(args: readonly string[]): void {
  refuse(args, DAEMON_FLAGS)
}

/** Refuses flags of commands that are not built. Before the command they are the program's own, as `--version` is. */
export function refuseCommandFlags(args: readonly string[], commands: readonly string[]): void {
  const command = args.findIndex(arg => commands.includes(arg))
  if (command >= 0) refuse(args.slice(command), COMMAND_FLAGS)
}

/** Refuses a command that is none of the built ones. */
export function refuseCommand(name: string): never {
  if (COMMANDS.includes(name)) throw usage(`dfs ${name} is not built yet`)
  throw usage('there is no such command: see dfs --help')
}

function refuse(args: readonly string[], names: readonly string[]): void {
  for (const arg of args) {
    // What follows is no flag, whatever it looks like.
    if (arg === '--') return
    const name = /^--([a-z0-9-]+)/.exec(arg)?.[1]
    if (name !== undefined && names.includes(name)) throw usage(`--${name} is not built yet`)
  }
}
