import { assertLoopback } from '../http/listen.ts'
import { serveApi } from '../http/server.ts'
import { createNode, type DfsNode, type NodeEvent } from '../index.ts'
import { type DaemonFlags, nodeOptionsOf, parseDaemonFlags, parseHostPort } from './daemon-flags.ts'
import { logEvent, openLog } from './daemon-log.ts'
import { defaultDataDir } from './data-dir.ts'
import { EXIT, report } from './exit.ts'
import { FirstAnswer, foreignError, namesIn, takeBack } from './first-start.ts'
import { isOn, runProgram } from './program.ts'
import { printJson } from './session.ts'

/** Made when a directory becomes a member. */
const KEYSTORE_FILE = 'keystore'

/** The daemon. Resolves with the exit code once it has stopped. */
export function main(args: readonly string[]): Promise<number> {
  const isJson = args.includes('--json') || isOn(process.env['DFS_JSON'])
  return runProgram(isJson, () => run(parseDaemonFlags(args)))
}

async function run(flags: DaemonFlags): Promise<void> {
  const { dataDir, json } = flags
  // What is wrong with a flag is said before anything is touched.
  const listen = parseHostPort(flags.api)
  assertLoopback(listen)
  const log = openLog(flags.logLevel)
  // A daemon in a state that nobody thought of does not go on.
  process.on('uncaughtException', error => {
    log.debug({ err: error }, 'uncaught')
    report(error, json)
    process.exit(EXIT.failed)
  })
  const stopping = stopSignal()
  const before = await namesIn(dataDir)
  const isMember = before.has(KEYSTORE_FILE)
  const joins = !isMember && !flags.new && flags.networkKeyFile !== undefined && flags.bootstrap !== undefined
  let firstAnswer = joins ? new FirstAnswer() : undefined
  let node: DfsNode | undefined
  const foreign = new Set<string>()
  const onEvent = (event: NodeEvent): void => {
    logEvent(log, event)
    firstAnswer?.hear(event)
    if (event.event !== 'foreign' || firstAnswer !== undefined || foreign.has(event.peerId)) return
    // Among our own a stranger on the same local network is no news.
    if (node?.peers().some(({ connected }) => connected) === true) return
    foreign.add(event.peerId)
    report(foreignError(), json)
  }
  node = await createNode({ ...(await nodeOptionsOf(flags, isMember)), onEvent })
  try {
    await firstAnswer?.wait(stopping)
  } catch (error) {
    await node.stop()
    await takeBack(dataDir, before)
    throw error
  }
  firstAnswer = undefined
  try {
    const api = await serveApi(node, { dataDir, listen })
    try {
      sayReady(node, api.url, flags, isMember)
      await stopping
    } finally {
      await api.close()
    }
  } finally {
    await node.stop()
  }
  if (json) printJson({ event: 'stopped' })
}

/** Resolves at the first signal to stop, which counts from now on: a start takes a while. A second one ends at once. */
function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let signals = 0
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (++signals > 1) process.exit(EXIT.interrupted)
      resolve()
    })
  }
  return promise
}

function sayReady(node: DfsNode, api: string, flags: DaemonFlags, isMember: boolean): void {
  const { json, dataDir, networkKeyFile } = flags
  const { peerId, network, multiaddrs, name, role } = node
  if (json) {
    printJson({ event: 'ready', peerId, network, multiaddrs, api })
    return
  }
  const where = dataDir === defaultDataDir() ? '' : `--data-dir ${shellQuoted(dataDir)} `
  const lines = [
    `${name} is up, as ${role} of network ${network.slice(0, 16)}…`,
    ...multiaddrs.map(address => `  listening on ${address}`),
    `  API at ${api}`,
    '',
    `Use it:        npx -p dfs-node dfs ${where}status`,
    `Add a machine: npx dfs-node --network-key-file FILE --bootstrap ${reachable(multiaddrs)}`,
    ...(isMember || networkKeyFile !== undefined
      ? []
      : [
          '',
          'The key of this new network is in no file: to add machines, found one with --new --network-key-file FILE.'
        ]),
    ''
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Of our addresses the one that most likely leads here from another machine. */
function reachable(multiaddrs: readonly string[]): string {
  return multiaddrs.find(address => !address.includes('/127.0.0.1/')) ?? multiaddrs[0] ?? 'MULTIADDR'
}

function shellQuoted(text: string): string {
  return /^[\w./@:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
