import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { NodeOptions } from '../index.ts'
import { defaultDataDir } from './data-dir.ts'
import { usage } from './exit.ts'
import { makeNetworkKey, readNetworkKey } from './key-file.ts'
import { isOn, newProgram } from './program.ts'
import { note } from './session.ts'
import { refuseDaemonFlags } from './unbuilt.ts'
import { parseCopies, parseSize, parseTime } from './units.ts'

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const

export interface DaemonFlags {
  dataDir: string
  listen?: string[]
  announce?: string[]
  bootstrap?: string[]
  mdns: boolean
  new: boolean
  networkKeyFile?: string
  passphraseFile?: string
  name?: string
  capacity?: string
  replicas?: string
  ack?: string
  outAfter?: string
  api?: string
  logLevel: (typeof LOG_LEVELS)[number]
  json: boolean
}

/** Reads the flags of `dfs-node`, and for those not given the environment. Each that can never work is refused. */
export function parseDaemonFlags(args: readonly string[], env: NodeJS.ProcessEnv = process.env): DaemonFlags {
  refuseDaemonFlags(args)
  // What is given by flag replaces what the environment says, all of it.
  const given = new Map<string, string[]>()
  const listed = (name: string) => (value: string) => {
    given.set(name, [...(given.get(name) ?? []), value])
    return given.get(name)
  }
  const list = (name: string): string[] | undefined => env[name]?.split(',').filter(item => item !== '')
  const program = newProgram('dfs-node', 'A node of a private, encrypted, replicated file system. Every node is equal.')
    .option('--data-dir <dir>', 'where blocks, log and keys live', env['DFS_DATA_DIR'] || defaultDataDir(env))
    .option('--listen <multiaddr>', 'address to listen on (repeatable)', listed('listen'), list('DFS_LISTEN'))
    .option(
      '--announce <multiaddr>',
      'address that others reach this node at (repeatable)',
      listed('announce'),
      list('DFS_ANNOUNCE')
    )
    .option(
      '--bootstrap <multiaddr>',
      'another node to stay connected to (repeatable)',
      listed('bootstrap'),
      list('DFS_BOOTSTRAP')
    )
    .option('--no-mdns', 'neither find others on the local network nor be found', !isOn(env['DFS_NO_MDNS']))
    .option('--new', 'found a network, if this directory belongs to none', isOn(env['DFS_NEW']))
    .option(
      '--network-key-file <file>',
      'the key of the network; with --new it is made if missing',
      env['DFS_NETWORK_KEY_FILE']
    )
    .option('--passphrase-file <file>', 'seals the keystore', env['DFS_PASSPHRASE_FILE'])
    .option('--name <name>', 'what other members see this device called', env['DFS_NAME'])
    .option('--capacity <size>', 'bytes that this node may hold, such as 500GB', env['DFS_CAPACITY'])
    .option('--replicas <n|all>', 'copies of what is put here (default 3)', env['DFS_REPLICAS'])
    .option(
      '--ack <n|all>',
      'copies that must be durable before a put says yes (default 2 where reachable)',
      env['DFS_ACK']
    )
    .option('--out-after <time>', 'a member that lags this far behind is out (default 10m)', env['DFS_OUT_AFTER'])
    .option('--api <host:port>', 'where the API listens (default 127.0.0.1:3002)', env['DFS_API'])
    .option('--log-level <level>', LOG_LEVELS.join(', '), env['DFS_LOG_LEVEL'] || 'info')
    .option('--json', 'say what happens as JSON, one object a line', isOn(env['DFS_JSON']))
    .allowExcessArguments(false)
  program.parse([...args], { from: 'user' })
  const flags = program.opts<DaemonFlags>()
  if (!LOG_LEVELS.includes(flags.logLevel)) throw usage(`--log-level is one of ${LOG_LEVELS.join(', ')}`)
  // What is written down about it has to hold wherever it is read.
  return { ...flags, dataDir: resolve(flags.dataDir) }
}

/**
 * What the node is started with. The last thing done is to draw a network key, which only whoever founds does: a directory
 * that already is a member must not leave a key behind that is not its network's.
 */
export async function nodeOptionsOf(flags: DaemonFlags, isMember: boolean): Promise<NodeOptions> {
  const { passphraseFile, capacity, replicas, ack, outAfter } = flags
  const options = {
    dataDir: flags.dataDir,
    listen: flags.listen,
    announce: flags.announce,
    bootstrap: flags.bootstrap,
    mdns: flags.mdns,
    found: flags.new,
    name: flags.name,
    capacityBytes: capacity === undefined ? undefined : parseSize(capacity),
    replicas: replicas === undefined ? undefined : parseCopies(replicas),
    ack: ack === undefined ? undefined : parseCopies(ack),
    outAfterMs: outAfter === undefined ? undefined : parseTime(outAfter),
    passphrase: passphraseFile === undefined ? undefined : await passphraseFrom(passphraseFile)
  }
  return { ...options, networkKey: await networkKeyOf(flags, isMember) }
}

/** Where the API listens, if that was said. */
export function parseHostPort(text: string | undefined): { host: string; port: number } | undefined {
  if (text === undefined) return undefined
  const [, host, port] = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+):(\d{1,5})$/.exec(text) ?? []
  if (host === undefined || Number(port) > 65_535) throw usage('--api reads HOST:PORT, such as 127.0.0.1:3002')
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

async function networkKeyOf(flags: DaemonFlags, isMember: boolean): Promise<Uint8Array | undefined> {
  const file = flags.networkKeyFile
  if (file === undefined) return undefined
  const key = await readNetworkKey(file)
  if (key !== undefined) return key
  if (!flags.new) throw usage('there is no file where --network-key-file says: give one that exists, or --new to found')
  if (!isMember) return makeNetworkKey(file)
  note('the file named by --network-key-file is missing: this directory is a member already and goes on without')
  return undefined
}

async function passphraseFrom(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw usage('the file named by --passphrase-file cannot be read')
  })
  const passphrase = text.replace(/\r?\n$/, '')
  if (passphrase === '') throw usage('the file named by --passphrase-file is empty')
  return passphrase
}
