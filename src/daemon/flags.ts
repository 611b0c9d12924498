import { resolve } from 'node:path'
import type { Command } from 'commander'
import { defaultDataDir, knownDataDir } from '../terminal/data-dir.ts'
import { usage } from '../terminal/errors.ts'
import { examplesText } from '../terminal/examples.ts'
import { EXIT_NAMES, exitLine } from '../terminal/exit.ts'
import { addHelpBelow, isOn, newProgram } from '../terminal/program.ts'
import { refuseUnbuiltFlags } from '../terminal/unbuilt.ts'

const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug', 'trace'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** How files may be cut. */
const CHUNKERS = ['fixed', 'fastcdc'] as const

/** Flags that are promised but not built yet. Remove a flag from this list when `parseDaemonFlags` supports it. */
const UNBUILT_FLAGS = [
  'zone',
  'cache',
  'dedupe',
  'webdav',
  's3',
  'public',
  'tls-cert',
  'tls-key',
  'plain-http',
  'config'
]

/** The roles that a machine can ask for. */
export type AskedRole = 'writer' | 'reader' | 'storage'
const ASKED_ROLES: readonly string[] = ['writer', 'reader', 'storage'] satisfies AskedRole[]

export interface DaemonFlags {
  dataDir: string
  listen?: string[]
  announce?: string[]
  bootstrap?: string[]
  mdns: boolean
  new: boolean
  join?: string
  networkKeyFile?: string
  recover: boolean
  inviteOut?: string
  role?: AskedRole
  passphraseFile?: string
  name?: string
  capacity?: string
  replicas?: string
  ack?: string
  chunker?: (typeof CHUNKERS)[number]
  outAfter?: string
  api?: string
  logLevel: LogLevel
  json: boolean
}

/**
 * Reads the flags of `dfs-node`. A flag that is not given takes its value from the environment. Throws a usage error
 * for a flag that can never work.
 */
export function parseDaemonFlags(args: readonly string[], env: NodeJS.ProcessEnv = process.env): DaemonFlags {
  refuseUnbuiltFlags(args, UNBUILT_FLAGS)
  const program = daemonProgram(env)
  program.parse([...args], { from: 'user' })
  const flags = program.opts<DaemonFlags>()
  if (!LOG_LEVELS.includes(flags.logLevel))
    throw usage(`--log-level: "${flags.logLevel}" is not a level: give one of ${LOG_LEVELS.join(', ')}`)
  if (flags.chunker !== undefined && !CHUNKERS.includes(flags.chunker))
    throw usage(`--chunker: "${flags.chunker}" is not a chunker: give ${CHUNKERS.join(' or ')}`)
  checkWayIn(flags)
  if (flags.dataDir === '') throw usage('--data-dir is empty: name a directory')
  // The path is made absolute, because the daemon records it for programs that run in other folders.
  return { ...flags, dataDir: resolve(knownDataDir(flags.dataDir)) }
}

/** Returns the flags that say how a new machine becomes a member. */
export function waysInOf({ new: isNew, join, networkKeyFile, recover }: DaemonFlags): string[] {
  const ways = [
    isNew && '--new',
    join !== undefined && '--join',
    networkKeyFile !== undefined && '--network-key-file',
    recover && '--recover'
  ]
  return ways.filter(way => way !== false)
}

/** Throws a usage error if the flags name several ways into a network, or a role where no person gives one. */
function checkWayIn(flags: DaemonFlags): void {
  const { join, recover, new: isNew, role } = flags
  const given = waysInOf({ ...flags, new: false })
  if (given.length > 1) throw usage(`${given.join(' and ')} exclude each other: give one of them`)
  if (isNew && (join !== undefined || recover))
    throw usage(`--new founds a network, and ${given[0]} enters one: give one of them`)
  if (role === undefined) return
  if (!ASKED_ROLES.includes(role))
    throw usage(`--role: "${role}" is not a role to ask for: give one of ${ASKED_ROLES.join(', ')}`)
  const other = given[0] ?? (isNew ? '--new' : undefined)
  if (other !== undefined)
    throw usage(
      `--role is for a machine that asks to be let in: ${join === undefined ? 'a network key makes an admin' : 'an invite has a role'}, so leave it out with ${other}`
    )
}

const AFTER_HELP = `
Without flags, the first start looks for networks nearby and asks before it joins one; if there is none, it founds one. \
The node listens for TCP on port 3000 and for WebSockets on port 3001. --capacity is by default what is free at the \
first start, less 5 % of the disk. An address is a multiaddr; --bootstrap takes HOST:PORT as well.

With --chunker fastcdc a large file that changes in the middle is not sent again as a whole. But the lengths of its \
blocks then say something about its content, to members that cannot read it and to whoever watches the network. The node \
that founds a network sets it for all; dfs config chunker changes that.

${examplesText([
  ['npx dfs-node', 'join one nearby, or found one'],
  ['npx dfs-node --bootstrap 192.168.1.20:3000', 'ask to be let in at this address'],
  ['npx dfs-node --join dfs-writer.invite', 'join with an invite'],
  ['npx dfs-node --new --capacity 500GB', 'found one, hold up to 500 GB']
])}

${exitLine(EXIT_NAMES)}
Variables: each flag has one, DFS_ and its name in capitals, such as DFS_DATA_DIR; lists are separated by commas. \
DEBUG names components, and overrides --log-level.`

function daemonProgram(env: NodeJS.ProcessEnv): Command {
  const program = newProgram('dfs-node', 'A node of a private, encrypted, replicated file system. Every node is equal.')
  const one = (flag: string, help: string, value: string | undefined): Command => program.option(flag, help, value)
  const many = (flag: string, help: string, value: string | undefined, what = 'multiaddr'): Command =>
    program.option(
      `${flag} <${what}>`,
      `${help} (repeatable)`,
      collector(),
      value?.split(',').filter(item => item !== '')
    )

  program.optionsGroup('This machine:')
  one(
    '--data-dir <dir>',
    `its blocks, log and keys (default ${defaultDataDir(env)})`,
    env['DFS_DATA_DIR'] || defaultDataDir(env)
  )
  one('--name <name>', 'name that others see (default: that of the host)', env['DFS_NAME'])
  one('--capacity <size>', 'how much this node may hold, such as 500GB', env['DFS_CAPACITY'])
  one('--passphrase-file <file>', 'passphrase that seals the keystore', env['DFS_PASSPHRASE_FILE'])
  one('--api <host:port>', 'where the API listens (default 127.0.0.1:3002)', env['DFS_API'])
  program.optionsGroup('Addresses:')
  many('--listen', 'address to listen on', env['DFS_LISTEN'])
  many('--announce', 'where others reach this node', env['DFS_ANNOUNCE'])
  many('--bootstrap', 'node to keep connected to', env['DFS_BOOTSTRAP'], 'address')
  program.option('--no-mdns', 'leave the local network alone', !isOn(env['DFS_NO_MDNS']))
  program.optionsGroup('How to get in, at the first start:')
  program.option('--new', 'found a network, unless this node is in one already', isOn(env['DFS_NEW']))
  one('--join <file|->', 'enter with the invite in this file, or on stdin (-)', env['DFS_JOIN'] || undefined)
  one('--role <role>', 'ask for writer (default), reader or storage', env['DFS_ROLE'] || undefined)
  one('--network-key-file <file>', 'its key; with --new the file is created if missing', env['DFS_NETWORK_KEY_FILE'])
  program.option('--recover', 'enter as an admin, with the 24 words on stdin', isOn(env['DFS_RECOVER']))
  one('--invite-out <file>', 'leave an invite for any number of writers there', env['DFS_INVITE_OUT'] || undefined)
  program.optionsGroup('Copies:')
  one('--replicas <n|all>', 'copies of each file that is put here (default 3)', env['DFS_REPLICAS'])
  one('--ack <n|all>', 'copies that a put waits for (default 2)', env['DFS_ACK'])
  one(
    '--chunker <name>',
    'how files put here are cut: fixed (default) or fastcdc, see below',
    env['DFS_CHUNKER'] || undefined
  )
  one('--out-after <time>', 'delay before others take over (default 10m)', env['DFS_OUT_AFTER'])
  program.optionsGroup('What it prints:')
  one('--log-level <level>', 'error, warn, info (default), debug, trace or silent', env['DFS_LOG_LEVEL'] || 'info')
  program.option('--json', 'print what happens as JSON, one object a line', isOn(env['DFS_JSON']))
  return addHelpBelow(program.allowExcessArguments(false), AFTER_HELP)
}

/** Collects the values of a repeatable flag. The first value given replaces the whole list from the environment. */
function collector(): (value: string) => string[] {
  const given: string[] = []
  return value => {
    given.push(value)
    return given
  }
}

/** Reads the value of `--api`. */
export function parseHostPort(text: string | undefined): { host: string; port: number } | undefined {
  if (text === undefined) return undefined
  const [, host, port] = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+):(\d{1,5})$/.exec(text) ?? []
  if (host === undefined || Number(port) > 65_535)
    throw usage(`--api: "${text}" is not HOST:PORT, such as 127.0.0.1:3002`)
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}
