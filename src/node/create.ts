import type { DfsNode, NodeEvent, NodeOptions } from '../api.ts'
import { openFormat } from '../disk/data-directory.ts'
import { claimDirectory, type DataDirectory, isFirstStartOn } from '../disk/directory-claim.ts'
import type { KeepSecrets } from '../disk/keystore.ts'
import { MonitoredFiles } from '../disk/monitored-files.ts'
import { isOwnName } from '../disk/own-files.ts'
import { Reserve, startWithReserve } from '../disk/reserve.ts'
import { CAPACITY_BYTES_MAX, LABEL_BYTES_MAX, OUT_AFTER_MS_MAX } from '../format/constants.ts'
import { copiesOf } from '../fs/context.ts'
import { OUT_AFTER_MS_MIN } from '../members/constants.ts'
import { utf8 } from '../util/bytes.ts'
import { systemChance } from '../util/chance.ts'
import { systemClock } from '../util/clock.ts'
import { InvalidInputError } from '../util/errors.ts'
import { type ComponentLogger, debugLogger, reasonOf } from '../util/logger.ts'
import { checkDial, checkListen, parseAddress } from '../wire/addresses.ts'
import { isOfAnotherNetwork, keystoreOf, secretsOf } from './identity.ts'
import { Node } from './node.ts'
import { systemPlatform } from './platform.ts'
import { defaultListen, rememberPorts } from './ports.ts'
import { type StackOptions, startStack } from './stack.ts'

const REPLICAS_DEFAULT = 3

/**
 * Starts a node on a data directory and resolves once the node answers. The node is the member whose keystore is in the
 * directory. In a new directory, it becomes an admin of the network whose key is given, or of a network that it founds.
 *
 * If a first start fails before a member has been reached, everything that it has written is removed again. If the
 * process is killed during a first start, the next start goes on from there, or begins again if the network key is
 * another one.
 *
 * Throws a `DfsError` with one of these codes: `locked` if another process has the directory; `wrong-key` for the
 * passphrase; `not-allowed` if there is an address to join at but neither a key nor `found`; `invalid` for options that
 * can never work, for a directory of another network, and for a path that can be no data directory or that belongs to
 * somebody else, in which nothing is changed; `port-taken`; `unsupported` for a directory of an unknown layout, or for
 * one that has lost its keystore; and the codes of the disk. It also throws what `confirmFirstStart` throws.
 */
export async function createNode(options: NodeOptions): Promise<DfsNode> {
  checkNodeOptions(options)
  const { dataDir, ownersFiles, chance = systemChance, logger = debugLogger } = options
  const reserve = new Reserve({ files: new MonitoredFiles(dataDir), chance, logger })
  const isOwn = async (): Promise<boolean> => !(await isFirstStartOn(dataDir, ownersFiles))
  return startWithReserve(reserve, isOwn, () => startNode(options))
}

async function startNode(options: NodeOptions): Promise<DfsNode> {
  const { dataDir, ownersFiles, logger = debugLogger } = options
  const directory = await claimDirectory(dataDir, { logger, ownersFiles })
  const firstStart = new FirstStart(directory)
  const release = (): Promise<void> => directory.release({ undo: firstStart.mustUndo })
  let node: Node | undefined
  try {
    const { onEvent = () => {} } = options
    const listenFor = (event: NodeEvent): void => {
      firstStart.onEvent(event)
      // The listener belongs to the program that embeds the node. If it throws, what the event reports must go on.
      try {
        onEvent(event)
      } catch (error) {
        logger.forComponent('dfs:node')('the listener for events threw an error: %s', reasonOf(error))
      }
    }
    const { files, ...rest } = await buildNode({ ...options, logger, onEvent: listenFor }, directory, release)
    node = rest.node
    await node.start()
    if (rest.hasDefaultPorts) await keepPorts(files, node, logger)
    await firstStart.confirm(options.confirmFirstStart)
    return node
  } catch (error) {
    await node?.stop().catch(() => {
      // The caller gets the error that ended the start, not this one.
    })
    await release()
    throw error
  }
}

/**
 * Saves the ports for the next start. A node whose disk is full runs all the same, and may get other ports at its next
 * start.
 */
async function keepPorts(files: MonitoredFiles, node: Node, logger: ComponentLogger): Promise<void> {
  try {
    await rememberPorts(files, node.listening())
  } catch (error) {
    logger.forComponent('dfs:node')('the ports could not be saved for the next start: %s', reasonOf(error))
  }
}

/** Decides whether a start that fails must be undone. */
class FirstStart {
  readonly #directory: DataDirectory
  #isUndone: boolean
  #isKnown = false

  constructor(directory: DataDirectory) {
    this.#directory = directory
    // An interrupted start may have become known to others.
    this.#isUndone = directory.isFirstStart && !directory.wasInterrupted
  }

  /** False once a member has been reached: it knows this node now, and may count on what this node stores. */
  get mustUndo(): boolean {
    return this.#isUndone && !this.#isKnown
  }

  onEvent({ event }: NodeEvent): void {
    if (event === 'admitted') this.#isKnown = true
  }

  async confirm(confirm: NodeOptions['confirmFirstStart']): Promise<void> {
    if (!this.#directory.isFirstStart) return
    this.#isUndone = true
    await confirm?.()
    await this.#directory.finishFirstStart()
    this.#isUndone = false
  }
}

interface Built {
  node: Node
  files: MonitoredFiles
  hasDefaultPorts: boolean
}

type BuildOptions = Omit<NodeOptions, 'logger' | 'onEvent'> & Pick<StackOptions, 'logger' | 'onEvent'>

async function buildNode(options: BuildOptions, directory: DataDirectory, unlock: () => Promise<void>): Promise<Built> {
  const { dataDir, clock = systemClock, chance = systemChance, logger, onEvent } = options
  const files = new MonitoredFiles(dataDir)
  if (directory.wasInterrupted && (await isOfAnotherNetwork(options, files))) await directory.clear()
  const { storeId, isNew } = await openFormat(files, chance, logger)
  const secrets = await secretsOf(options, files)
  const hasDefaultPorts = options.listen === undefined && options.transports === undefined
  const given = options.listen ?? (hasDefaultPorts ? await defaultListen(files) : [])
  const platform = systemPlatform(options)
  const keystore = keystoreOf(options, files)
  const keep: KeepSecrets = async change => {
    await keystore.update(change)
  }
  const fixed = { options, files, platform, keep, storeId, clock, chance, logger, onEvent }
  const defaults = { replicas: copiesOf(options.replicas) ?? REPLICAS_DEFAULT, ack: copiesOf(options.ack) }
  const reserve = new Reserve({ files, chance, logger })
  const node = new Node({
    files,
    makeRoom: () => reserve.release(),
    unlock,
    clock,
    logger,
    onEvent,
    network: secrets.network,
    startStack: async (onDoubt, listening) => {
      // A stack that replaces another one finds the files of that stack, so its directory is not new. Epoch keys may
      // have arrived meanwhile, and they are in the keystore only.
      const replaces = listening !== undefined
      const own = replaces ? ((await keystore.load()) ?? secrets) : secrets
      return startStack({
        ...fixed,
        secrets: own,
        defaults,
        onDoubt,
        isNew: isNew && !replaces,
        listen: listening ?? given
      })
    }
  })
  return { node, files, hasDefaultPorts }
}

/** Throws an `InvalidInputError` for options that can never work. `createNode` does this before anything else. */
export function checkNodeOptions(options: NodeOptions): void {
  const { name, networkKey, capacityBytes, outAfterMs, ownersFiles = [] } = options
  const { listen = [], announce = [], bootstrap = [] } = options
  if (options.dataDir === '') throw new InvalidInputError('the path of the data directory is empty: name a directory')
  // The node would overwrite or remove them.
  if (ownersFiles.some(isOwnName))
    throw new InvalidInputError(
      'a key or passphrase file in the data directory has a name that the node itself uses: rename it or move it'
    )
  if (name !== undefined && (name === '' || utf8(name).byteLength > LABEL_BYTES_MAX || !name.isWellFormed()))
    throw new InvalidInputError(`the name of a device has 1 to ${LABEL_BYTES_MAX} bytes`)
  if (networkKey !== undefined && networkKey.byteLength !== 32)
    throw new InvalidInputError('a network key has 32 bytes')
  if (
    capacityBytes !== undefined &&
    !(Number.isInteger(capacityBytes) && capacityBytes > 0 && capacityBytes <= CAPACITY_BYTES_MAX)
  )
    throw new InvalidInputError('capacityBytes is out of bounds: give a whole number of bytes, at most 1 PiB')
  if (outAfterMs !== undefined && !(outAfterMs >= OUT_AFTER_MS_MIN && outAfterMs <= OUT_AFTER_MS_MAX))
    throw new InvalidInputError('outAfterMs is out of bounds: give a time from 1 second to 30 days')
  for (const address of announce) parseAddress(address, '--announce')
  for (const address of bootstrap) parseAddress(address, '--bootstrap')
  // Other transports have addresses of their own.
  if (options.transports !== undefined) return
  for (const address of listen) checkListen(address)
  for (const address of bootstrap) checkDial(address)
}

/**
 * Returns true until a first start on this directory has succeeded. Changes nothing, and refuses as `createNode` does.
 */
export function isFirstStart({ dataDir, ownersFiles }: Pick<NodeOptions, 'dataDir' | 'ownersFiles'>): Promise<boolean> {
  return isFirstStartOn(dataDir, ownersFiles)
}
