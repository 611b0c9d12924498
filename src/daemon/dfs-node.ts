import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { assertLoopback, checkPortFree } from '../http/listen.ts'
import { serveApi } from '../http/server.ts'
import {
  type ComponentLogger,
  createNode,
  DfsError,
  type DfsNode,
  isFirstStart,
  type NodeEvent,
  reasonOf
} from '../index.ts'
import { CliError } from '../terminal/errors.ts'
import { EXIT, report } from '../terminal/exit.ts'
import { note, printJson } from '../terminal/print.ts'
import { chooserFor } from './choose.ts'
import { EventLog } from './event-log.ts'
import { FirstAnswer, foreignError } from './first-start.ts'
import { type DaemonFlags, parseHostPort } from './flags.ts'
import { leaveInvite } from './invite-files.ts'
import { componentLogger, openLog } from './log.ts'
import { filesInDataDir, nodeOptionsOf } from './node-options.ts'
import { PendingScreen } from './pending.ts'
import { sayReady } from './ready.ts'
import { stopSignal } from './stop-signal.ts'
import { askingWords, type FirstWords, nearbyWords } from './words.ts'

/** How often the timer fires that keeps the process alive during a start. It does nothing. */
const ALIVE_MS = 60_000

/** Runs the node until a signal stops it. Throws the error that ends it, with the data directory that it is about. */
export async function runNode(flags: DaemonFlags): Promise<void> {
  await run(flags).catch(error => {
    throw aboutDataDir(error, flags.dataDir)
  })
}

/** The errors of the library that are about the data directory. The library itself names no path. */
const OF_DATA_DIR: ReadonlySet<string> = new Set(
  'LockedError UnusableDirectoryError UnknownLayoutError ReadOnlyError NoSpaceError DiskError WrongPassphraseError'.split(
    ' '
  )
)

function aboutDataDir(error: unknown, dataDir: string): unknown {
  if (!(error instanceof DfsError) || !OF_DATA_DIR.has(error.name)) return error
  return new CliError(error.code, error.message, { about: dataDir, cause: error })
}

async function run(flags: DaemonFlags): Promise<void> {
  const { dataDir, json } = flags
  // Flags that make no sense are refused before anything on the disk is changed.
  const listen = parseHostPort(flags.api)
  assertLoopback(listen)
  const log = openLog(flags)
  const logger = componentLogger(log.log)
  endOnUncaught(logger, json)
  const stopping = stopSignal()
  const isFirst = await isFirstStart({ dataDir, ownersFiles: filesInDataDir(flags) })
  if (listen !== undefined) await checkPortFree(listen)
  const { node, screen, way } = await startNode(flags, { isFirst, events: new EventLog(log), logger, stopping })
  let isOutside = false
  try {
    const isPending = (await node.status()).state === 'pending'
    if (!isPending) await leaveInviteOf(node, flags)
    const keyFile = flags.networkKeyFile === undefined ? undefined : resolve(flags.networkKeyFile)
    const api = await serveApi(node, { dataDir, listen, keyFile, logger })
    try {
      const isReady = await screen.wait(node, stopping)
      if (isPending && isReady) await leaveInviteOf(node, flags)
      if (isReady) await sayReady(node, api.url, flags, way())
      await stopping
      isOutside = (await node.status()).state === 'pending'
    } finally {
      await api.close()
    }
  } finally {
    await node.stop()
  }
  // A member may have let it in while it stopped.
  const isStillOutside = isOutside && (await isFirstStart({ dataDir, ownersFiles: filesInDataDir(flags) }))
  if (json) printJson({ event: 'stopped' })
  if (isStillOutside)
    throw new CliError(
      'failed',
      'nothing was joined, and this machine no longer asks: start it again to ask again, or to enter if it has just been approved'
    )
  if (isOutside && !json) note('this machine was let in while it stopped: start it again')
}

async function leaveInviteOf(node: DfsNode, { inviteOut }: DaemonFlags): Promise<void> {
  if (inviteOut !== undefined) await leaveInvite(node, inviteOut)
}

interface Start {
  /** True if the directory does not belong to a network yet. */
  isFirst: boolean
  /** Logs the events of the node. */
  events: EventLog
  /** The logger of the components. */
  logger: ComponentLogger
  stopping: Promise<void>
}

interface Started {
  node: DfsNode
  screen: PendingScreen
  /** Returns how this start came about, once the node is a member. */
  way: () => FirstWords['way']
}

/**
 * Starts the node. If the node joins a network for the first time with its key, this also waits until the key has been
 * checked, as `FirstAnswer` describes. A node that asks to be let in may still wait when this resolves.
 */
async function startNode(flags: DaemonFlags, { isFirst, events, logger, stopping }: Start): Promise<Started> {
  const { json } = flags
  const stopped = new AbortController()
  void stopping.then(() => stopped.abort(new CliError('aborted', 'stopped before the start was over')))
  const options = await nodeOptionsOf(flags, isFirst, stopped.signal)
  const joins = isFirst && !flags.new && options.networkKey !== undefined && flags.bootstrap !== undefined
  let firstAnswer = joins ? new FirstAnswer() : undefined
  let node: DfsNode | undefined
  let hasChosen = false
  const foreign = new Set<string>()
  const screen = new PendingScreen(flags, () => node?.name ?? flags.name ?? hostname())
  const onEvent = (event: NodeEvent): void => {
    events.onEvent(event, { isOnScreen: screen.onEvent(event) })
    firstAnswer?.onEvent(event)
    sayAsking(event, flags)
    if (event.event === 'unreachable' && json) printJson(event)
    if (event.event === 'removed') sayRemoved(json)
    if (event.event !== 'foreign' || firstAnswer !== undefined || foreign.has(event.peerId)) return
    // Once a member is connected, the user need not do anything about a nearby node of another network.
    if (node?.peers().some(({ connected }) => connected) === true) return
    foreign.add(event.peerId)
    if (!isFirst || (flags.bootstrap ?? []).length > 0 || options.networkKey !== undefined) report(foreignError(), json)
    else if (foreign.size === 1) note(nearbyWords(event, flags.dataDir))
  }
  const confirmFirstStart = async (): Promise<void> => {
    await firstAnswer?.wait(stopping)
    firstAnswer = undefined
  }
  const chooser = chooserFor(flags, stopped.signal)
  const choose: typeof chooser = async found => {
    const choice = await chooser(found)
    hasChosen = choice !== 'found'
    return choice
  }
  // While no member answers, nothing else may keep the process alive.
  const alive = setInterval(() => {}, ALIVE_MS)
  try {
    node = await createNode({ ...options, logger, onEvent, confirmFirstStart, choose })
  } finally {
    clearInterval(alive)
  }
  const way = (): FirstWords['way'] => {
    if (!isFirst) return 'again'
    if (flags.recover) return 'recovered'
    if (flags.new) return 'founded'
    const isNamed = options.networkKey !== undefined || options.join !== undefined || flags.bootstrap !== undefined
    return isNamed || hasChosen ? 'joined' : 'founded'
  }
  return { node, screen, way }
}

/** Tells a person, or a program, that this machine is no longer a member. */
function sayRemoved(json: boolean): void {
  if (json) printJson({ event: 'removed' })
  else note('this machine is no longer a member: dfs status says why')
}

/** Tells a person at this machine that another machine asks to be let in. */
function sayAsking(event: NodeEvent, { json, dataDir }: DaemonFlags): void {
  if (event.event !== 'asking') return
  const { code, name, role } = event
  if (json) printJson({ event: 'asking', code, name, role })
  else process.stdout.write(`${askingWords(event, dataDir)}\n`)
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
