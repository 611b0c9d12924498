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

export function refuseUnbuiltFlags(args: readonly string[], program: 'dfs-node' | 'dfs'): void {
  const names = program === 'dfs-node' ? DAEMON_FLAGS : COMMAND_FLAGS
  for (const arg of args) {
    if (arg === '--') return
    const name = /^--([a-z0-9-]+)/.exec(arg)?.[1]
    if (name !== undefined && names.includes(name)) throw usage(`--${name} is not built yet`)
  }
}

/** Refuses a command that is none of the built ones. */
export function refuseCommand(name: string): never {
  if (COMMANDS.includes(name)) throw usage(`dfs ${name} is not built yet`)
  throw usage('there is no such command: see dfs --help')
}
