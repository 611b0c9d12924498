import type { Logger } from 'pino'
import { assertLoopback, checkPortFree } from '../http/listen.ts'
import { serveApi } from '../http/server.ts'
import { type ComponentLogger, createNode, type DfsNode, isFirstStart, type NodeEvent, reasonOf } from '../index.ts'
import { EXIT, report } from '../terminal/exit.ts'
import { printJson } from '../terminal/print.ts'
import { isOn, runProgram } from '../terminal/program.ts'
import { logEvent } from './event-log.ts'
import { FirstAnswer, foreignError } from './first-start.ts'
import { type DaemonFlags, parseDaemonFlags, parseHostPort } from './flags.ts'
import { componentLogger, openLog } from './log.ts'
import { filesInDataDir, nodeOptionsOf } from './node-options.ts'
import { sayReady } from './ready.ts'

/** Runs the daemon. Resolves with the exit code once it has stopped. */
export function main(args: readonly string[]): Promise<number> {
  const isJson = args.includes('--json') || isOn(process.env['DFS_JSON'])
  return runProgram(isJson, () => run(parseDaemonFlags(args)))
}

async function run(flags: DaemonFlags): Promise<void> {
  const { dataDir, json } = flags
  // Flags that make no sense are refused before anything on the disk is changed.
  const listen = parseHostPort(flags.api)
  assertLoopback(listen)
  const log = openLog(flags.logLevel)
  const logger = componentLogger(log)
  endOnUncaught(logger, json)
  const stopping = stopSignal()
  const isFirst = await isFirstStart({ dataDir, ownersFiles: filesInDataDir(flags) })
  if (listen !== undefined) await checkPortFree(listen)
  const node = await startNode(flags, { isFirst, log, logger, stopping })
  try {
    const api = await serveApi(node, { dataDir, listen, logger })
    try {
      sayReady(node, api.url, flags, isFirst)
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
  /** True if the directory does not belong to a network yet. */
  isFirst: boolean
  /** The log for the events of the node. */
  log: Logger
  /** The logger of the components. */
  logger: ComponentLogger
  stopping: Promise<void>
}

/**
 * Starts the node. If the node joins a network for the first time, this also waits until the network key has been
 * checked, as `FirstAnswer` describes.
 */
async function startNode(flags: DaemonFlags, { isFirst, log, logger, stopping }: Start): Promise<DfsNode> {
  const { json } = flags
  const joins = isFirst && !flags.new && flags.networkKeyFile !== undefined && flags.bootstrap !== undefined
  let firstAnswer = joins ? new FirstAnswer() : undefined
  let node: DfsNode | undefined
  const foreign = new Set<string>()
  const onEvent = (event: NodeEvent): void => {
    logEvent(log, event)
    firstAnswer?.onEvent(event)
    if (event.event !== 'foreign' || firstAnswer !== undefined || foreign.has(event.peerId)) return
    // Once a member is connected, the user need not do anything about a nearby node of another network.
    if (node?.peers().some(({ connected }) => connected) === true) return
    foreign.add(event.peerId)
    report(foreignError(), json)
  }
  const confirmFirstStart = async (): Promise<void> => {
    await firstAnswer?.wait(stopping)
    firstAnswer = undefined
  }
  node = await createNode({ ...(await nodeOptionsOf(flags, isFirst)), logger, onEvent, confirmFirstStart })
  return node
}

/** Ends the process at an uncaught error, because a daemon in an unforeseen state must not go on. */
function endOnUncaught(logger: ComponentLogger, isJson: boolean): void {
  const log = logger.forComponent('dfs:daemon')
  process.on('uncaughtException', error => {
    log('ending the process, since nobody caught an error: %s', reasonOf(error))
    report(error, isJson)
    process.exit(EXIT.failed)
  })
}

/**
 * Resolves at the first signal to stop. Call it before the start, which takes a while, because signals are handled only
 * from this call on. A second signal ends the process immediately.
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
