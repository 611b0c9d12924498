import { readFile, rm, stat } from 'node:fs/promises'
import { Command, CommanderError } from 'commander'
import pino, { type Logger } from 'pino'
import { serveApi } from '../http/server.ts'
import { createNode, type DfsNode, type NodeEvent, type NodeOptions } from '../index.ts'
import { defaultDataDir } from './data-dir.ts'
import { CliError, EXIT, exitOf, report, usage } from './exit.ts'
import { networkKeyFrom } from './key-file.ts'
import { refuseUnbuiltFlags } from './unbuilt.ts'
import { parseCopies, parseSize, parseTime } from './units.ts'
import { version } from './version.ts'

interface Flags {
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
  logLevel: string
  json: boolean
}

const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug']

/** The daemon. Resolves with the exit code once it has stopped. */
export async function main(args: readonly string[]): Promise<number> {
  const isJson = args.includes('--json')
  try {
    refuseUnbuiltFlags(args, 'dfs-node')
    const program = build()
    program.parse(args, { from: 'user' })
    await run(program.opts<Flags>())
    return EXIT.done
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
    report(error, isJson)
    return exitOf(error)
  }
}

async function run(flags: Flags): Promise<void> {
  const log = loggerOf(flags)
  // Signals count from the first moment on: a start takes a while.
  const stopping = Promise.withResolvers<void>()
  let signals = 0
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (++signals > 1) process.exit(EXIT.interrupted)
      stopping.resolve()
    })
  }
  const isFirstStart = (await stat(`${flags.dataDir}/keystore`).catch(() => undefined)) === undefined
  const foreign = Promise.withResolvers<never>()
  foreign.promise.catch(() => {})
  let node: DfsNode | undefined
  const options = await optionsOf(flags, event => {
    logEvent(log, event)
    if (event.event !== 'foreign') return
    const error = new CliError(
      'wrong-network',
      'the node that answered belongs to another network: check the network key and the --bootstrap address'
    )
    // Whoever joins for the first time and is known nowhere has the wrong key; a member only hears of it.
    const isAlone = node === undefined || node.peers().length === 0
    if (isFirstStart && isAlone && flags.bootstrap !== undefined) foreign.reject(error)
    else report(error, flags.json)
  })
  node = await createNode(options)
  try {
    const api = await serveApi(node, { dataDir: flags.dataDir, listen: parseHostPort(flags.api) })
    try {
      sayReady(node, api.url, flags)
      await Promise.race([stopping.promise, foreign.promise])
    } finally {
      await api.close()
    }
  } catch (error) {
    // A member of nothing but itself, made by mistake: the next start shall be a first one again.
    if (error instanceof CliError && error.code === 'wrong-network') {
      await node.stop()
      await rm(`${flags.dataDir}/keystore`, { force: true })
    }
    throw error
  } finally {
    await node.stop()
  }
  if (flags.json) process.stdout.write(`${JSON.stringify({ event: 'stopped' })}\n`)
}

async function optionsOf(flags: Flags, onEvent: (event: NodeEvent) => void): Promise<NodeOptions> {
  const { networkKeyFile, passphraseFile, replicas, ack } = flags
  return {
    dataDir: flags.dataDir,
    listen: flags.listen,
    announce: flags.announce,
    bootstrap: flags.bootstrap,
    mdns: flags.mdns,
    found: flags.new,
    networkKey: networkKeyFile === undefined ? undefined : await networkKeyFrom(networkKeyFile, flags.new),
    passphrase: passphraseFile === undefined ? undefined : await passphraseFrom(passphraseFile),
    name: flags.name,
    capacityBytes: flags.capacity === undefined ? undefined : parseSize(flags.capacity),
    replicas: replicas === undefined ? undefined : parseCopies(replicas),
    ack: ack === undefined ? undefined : parseCopies(ack),
    outAfterMs: flags.outAfter === undefined ? undefined : parseTime(flags.outAfter),
    onEvent
  }
}

function build(): Command {
  const { env } = process
  const list = (name: string): string[] | undefined => env[name]?.split(',').filter(item => item !== '')
  const more = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value]
  return new Command('dfs-node')
    .description('A node of a private, encrypted, replicated file system. Every node is an equal.')
    .version(version)
    .option('--data-dir <dir>', 'where blocks, log and keys live', env['DFS_DATA_DIR'] ?? defaultDataDir())
    .option('--listen <multiaddr>', 'address to listen on (repeatable)', more, list('DFS_LISTEN'))
    .option('--announce <multiaddr>', 'address that others reach this node at (repeatable)', more, list('DFS_ANNOUNCE'))
    .option('--bootstrap <multiaddr>', 'another node to stay connected to (repeatable)', more, list('DFS_BOOTSTRAP'))
    .option('--no-mdns', 'neither find others on the local network nor be found', env['DFS_NO_MDNS'] === undefined)
    .option('--new', 'found a network, if this directory belongs to none', env['DFS_NEW'] !== undefined)
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
    .option('--log-level <level>', LOG_LEVELS.join(', '), env['DFS_LOG_LEVEL'] ?? 'info')
    .option('--json', 'say what happens as JSON, one object a line', env['DFS_JSON'] !== undefined)
    .allowExcessArguments(false)
    .exitOverride()
}

function parseHostPort(text: string | undefined): { host: string; port: number } | undefined {
  if (text === undefined) return undefined
  const match = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(text)
  if (match === null || Number(match[2]) > 65_535) throw usage('--api reads HOST:PORT, such as 127.0.0.1:3002')
  return { host: match[1] as string, port: Number(match[2]) }
}

async function passphraseFrom(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw usage('the file named by --passphrase-file cannot be read')
  })
  const passphrase = text.replace(/\r?\n$/, '')
  if (passphrase === '') throw usage('the file named by --passphrase-file is empty')
  return passphrase
}

function sayReady(node: DfsNode, api: string, { json, dataDir }: Flags): void {
  const { peerId, network, multiaddrs, name } = node
  if (json) {
    process.stdout.write(`${JSON.stringify({ event: 'ready', peerId, network, multiaddrs, api })}\n`)
    return
  }
  const isDefault = dataDir === defaultDataDir()
  const lines = [
    `${name} is up, as ${node.role} of network ${network.slice(0, 16)}…`,
    ...multiaddrs.map(address => `  listening on ${address}`),
    `  API at ${api}`,
    '',
    `Use it:        npx -p dfs-node dfs ${isDefault ? 'status' : `--data-dir ${dataDir} status`}`,
    `Add a machine: npx dfs-node --network-key-file KEY-FILE --bootstrap ${reachable(multiaddrs)}`,
    ''
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Of our addresses the one that most likely leads here from another machine. */
function reachable(multiaddrs: readonly string[]): string {
  return multiaddrs.find(address => !address.includes('/127.0.0.1/')) ?? multiaddrs[0] ?? 'MULTIADDR'
}

function loggerOf({ logLevel }: Flags): Logger {
  if (!LOG_LEVELS.includes(logLevel)) throw usage(`--log-level is one of ${LOG_LEVELS.join(', ')}`)
  return pino({ level: logLevel, name: 'dfs', base: null }, pino.destination({ dest: 2, sync: true }))
}

/** Peers come and go at `info` under a short id; nothing here names a file, an address or a key. */
function logEvent(log: Logger, event: NodeEvent): void {
  const scoped = (scope: string): Logger => log.child({ scope: `dfs:${scope}` })
  switch (event.event) {
    case 'admitted':
    case 'departed':
      scoped('members').info({ peer: event.peerId.slice(-8) }, event.event)
      break
    case 'foreign':
    case 'rejected':
    case 'fault':
      scoped('members').warn({ peer: event.peerId.slice(-8) }, event.event)
      break
    case 'rebuilt':
      scoped('disk').warn({ rows: event.rows }, 'the index was made anew from the segments')
      break
    case 'damaged':
      scoped('disk').error({ rows: event.rows }, 'rows of a segment do not match their checksum')
      break
    case 'failed':
      scoped('node').error({ code: event.code, task: event.task }, 'a task failed')
      break
  }
}
