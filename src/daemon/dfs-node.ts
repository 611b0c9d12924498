import type { Logger } from 'pino'
import { assertLoopback } from '../http/listen.ts'
import type { LogError } from '../http/route-context.ts'
import { serveApi } from '../http/server.ts'
import { createNode, type DfsNode, type NodeEvent } from '../index.ts'
import { EXIT, report } from '../terminal/exit.ts'
import { printJson } from '../terminal/print.ts'
import { isOn, runProgram } from '../terminal/program.ts'
import { logEvent } from './event-log.ts'
import { FirstAnswer, foreignError, namesIn, takeBack } from './first-start.ts'
import { type DaemonFlags, parseDaemonFlags, parseHostPort } from './flags.ts'
import { componentLogger, openLog, scoped } from './log.ts'
import { nodeOptionsOf } from './node-options.ts'
import { sayReady } from './ready.ts'

/** A node writes this file when its directory becomes a member. */
const KEYSTORE_FILE = 'keystore'

/** The daemon. Resolves with the exit code once it has stopped. */
export function main(args: readonly string[]): Promise<number> {
  const isJson = args.includes('--json') || isOn(process.env['DFS_JSON'])
  return runProgram(isJson, () => run(parseDaemonFlags(args)))
}

async function run(flags: DaemonFlags): Promise<void> {
  const { dataDir, json } = flags
  // A wrong flag is reported before anything is touched.
  const listen = parseHostPort(flags.api)
  assertLoopback(listen)
  const log = openLog(flags.logLevel)
  endOnUncaught(log, json)
  const stopping = stopSignal()
  const before = await namesIn(dataDir)
  const isMember = before.has(KEYSTORE_FILE)
  const node = await startNode(flags, { before, isMember, log, stopping })
  try {
    const api = await serveApi(node, { dataDir, listen, log: httpLog(log) })
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

interface Start {
  /** The names in the data directory before this start. */
  before: ReadonlySet<string>
  /** The directory already belongs to a network. */
  isMember: boolean
  log: Logger
  stopping: Promise<void>
}

/** Starts the node. If it joins a network for the first time, this also waits until its network key is known to be right. */
async function startNode(flags: DaemonFlags, { before, isMember, log, stopping }: Start): Promise<DfsNode> {
  const { dataDir, json } = flags
  const joins = !isMember && !flags.new && flags.networkKeyFile !== undefined && flags.bootstrap !== undefined
  let firstAnswer = joins ? new FirstAnswer() : undefined
  let node: DfsNode | undefined
  const foreign = new Set<string>()
  const onEvent = (event: NodeEvent): void => {
    logEvent(log, event)
    firstAnswer?.hear(event)
    if (event.event !== 'foreign' || firstAnswer !== undefined || foreign.has(event.peerId)) return
    // Once a member is connected, a node of another network nearby is nothing that the user must act on.
    if (node?.peers().some(({ connected }) => connected) === true) return
    foreign.add(event.peerId)
    report(foreignError(), json)
  }
  node = await createNode({ ...(await nodeOptionsOf(flags, isMember)), logger: componentLogger(log), onEvent })
  try {
    await firstAnswer?.wait(stopping)
  } catch (error) {
    await node.stop()
    await takeBack(dataDir, before)
    throw error
  }
  firstAnswer = undefined
  return node
}

/** Ends the process at an error that nobody caught: a daemon in an unforeseen state must not go on. */
function endOnUncaught(log: Logger, isJson: boolean): void {
  process.on('uncaughtException', error => {
    log.debug({ err: error }, 'uncaught')
    report(error, isJson)
    process.exit(EXIT.failed)
  })
}

/** Logs the errors of the API. Their words may hold a path, so they are logged at debug only. */
function httpLog(log: Logger): LogError {
  const http = scoped(log, 'dfs:http')
  return (what, error) => http.debug({ err: error }, what)
}

/**
 * Resolves at the first signal to stop. Signals count from this call on, since a start takes a while. A second signal ends
 * the process at once.
 */
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
