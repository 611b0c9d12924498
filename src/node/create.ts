import type { DfsNode, NodeEvent, NodeOptions } from '../api.ts'
import { openFormat } from '../disk/data-directory.ts'
import { claimDirectory, type DataDirectory, isFirstStartOn } from '../disk/directory-claim.ts'
import type { KeepSecrets, Secrets } from '../disk/keystore.ts'
import { MonitoredFiles } from '../disk/monitored-files.ts'
import { isOwnName } from '../disk/own-files.ts'
import { Reserve, startWithReserve } from '../disk/reserve.ts'
import { CAPACITY_BYTES_MAX, CHUNKERS, LABEL_BYTES_MAX, OUT_AFTER_MS_MAX } from '../format/constants.ts'
import { decodeInviteToken } from '../format/invite-token.ts'
import { copiesOf } from '../fs/context.ts'
import { OUT_AFTER_MS_MIN } from '../members/constants.ts'
import { ASKED_ROLES } from '../members/join-messages.ts'
import { utf8 } from '../util/bytes.ts'
import { systemChance } from '../util/chance.ts'
import { systemClock } from '../util/clock.ts'
import { InvalidInputError } from '../util/errors.ts'
import { type ComponentLogger, debugLogger, reasonOf } from '../util/logger.ts'
import { checkListen, checkPort, parseAddress } from '../wire/addresses.ts'
import { dialAddress } from '../wire/dial-address.ts'
import { FirstStart } from './first-start.ts'
import { candidateFileOf, isOfAnotherNetwork, keystoreOf, makeAdmin, memberSecrets, wayInOf } from './identity.ts'
import { type Entry, type EntryInit, prepareEntry } from './newcomer.ts'
import { Node } from './node.ts'
import { assertKnownOptions } from './option-names.ts'
import type { NodeEntry } from './pending-status.ts'
import { systemPlatform } from './platform.ts'
import { rememberPorts, startOnDefaultPorts } from './ports.ts'
import { type Stack, type StackOptions, startStack } from './stack.ts'

/** A letter, a digit, or another sign that a person sees. */
const VISIBLE = /[\p{L}\p{N}\p{P}\p{S}]/u
/** Founding is never the default: nobody would join a network that its owner did not mean to found. */
const NO_WAY_IN =
  'this data directory belongs to no network yet: set `found` to found one, or enter one with `join`, `networkKey`, `bootstrap` or `choose`'

/**
 * Starts a node on a data directory and resolves once the node answers. The node is the member whose keystore is in the
 * directory. In a new directory, it becomes an admin of the network whose key is given, or of a network that it founds;
 * or it asks to be let in, with an invite, or by approval at the `bootstrap` addresses or at a network nearby that
 * `choose` names. Then the node may be pending when this resolves: `ready` resolves once it is a member.
 *
 * If a first start fails before a member has been reached, everything that it has written is removed again. If the
 * process ends during a first start, the next start goes on from there, or begins again if it names another network. A
 * machine that waits to be let in keeps its keys meanwhile.
 *
 * Throws a `DfsError` with one of these codes: `locked` if another process has the directory; `wrong-key` for the
 * passphrase; `invalid` for options that can never work, and for a directory that belongs to another network or to
 * somebody else, or cannot be a data directory, in which case nothing in it is changed; `port-taken`; `unsupported` for
 * a directory of an unknown layout, or for one that has lost its keystore; the codes of the disk; and for an invite
 * `corrupt`, `expired`, `used-up`, `revoked`, `wrong-network`, `clock-off`, and `unreachable` if no member that answers
 * may let this device in. It also throws what `confirmFirstStart` and `choose` throw.
 */
export async function createNode(given: NodeOptions): Promise<DfsNode> {
  checkNodeOptions(given)
  // Other transports have addresses of their own.
  const { transports, bootstrap } = given
  const options = transports === undefined ? { ...given, bootstrap: bootstrap?.map(dialAddress) } : given
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
      // The listener belongs to the program that embeds the node. If it throws, the work that the event reports on must
      // go on.
      try {
        onEvent(event)
        node?.announce(event)
      } catch (error) {
        logger.forComponent('dfs:node')('the listener for events threw an error: %s', reasonOf(error))
      }
    }
    const all = { ...options, logger, onEvent: listenFor }
    node = await buildNode(all, { directory, firstStart, unlock: release })
    await node.start()
    if (!node.isPending) await firstStart.confirm(options.confirmFirstStart)
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

type BuildOptions = Omit<NodeOptions, 'logger' | 'onEvent'> & Pick<StackOptions, 'logger' | 'onEvent'>

interface Claim {
  directory: DataDirectory
  firstStart: FirstStart
  unlock: () => Promise<void>
}

async function buildNode(options: BuildOptions, { directory, firstStart, unlock }: Claim): Promise<Node> {
  const { dataDir, clock = systemClock, chance = systemChance, logger, onEvent } = options
  const files = new MonitoredFiles(dataDir)
  if (directory.wasInterrupted && (await isOfAnotherNetwork(options, files))) await directory.clear()
  const { storeId, capacityBytes: measuredBytes, isNew } = await openFormat(files, chance, logger)
  const platform = systemPlatform(options)
  const around = { options, files, platform, clock, chance, logger, onEvent }
  const start = await identify(around)
  const hasDefaultPorts = options.listen === undefined && options.transports === undefined
  const given = options.listen ?? []
  // A device that was let in must be able to start.
  if (start.entry !== undefined && options.transports === undefined)
    for (const address of given) await checkPort(address)
  const keystore = keystoreOf(options, files)
  const keep: KeepSecrets = async change => {
    await keystore.update(change)
  }
  const { chunker } = options
  const own = { replicas: copiesOf(options.replicas), ack: copiesOf(options.ack), chunker }
  const reserve = new Reserve({ files, chance, logger })
  const node = new Node({
    files,
    makeRoom: () => reserve.release(),
    unlock,
    clock,
    logger,
    onEvent,
    network: start.secrets?.network,
    entry: start.entry && entryOf(start, start.entry, firstStart),
    onUp: async () => {
      if (hasDefaultPorts) await keepPorts(files, node, logger)
    },
    startStack: async (onDoubt, listening) => {
      // A stack that replaces another one finds the files of that stack, so its directory is not new. Epoch keys may
      // have arrived meanwhile, and they are in the keystore only.
      const replaces = listening !== undefined
      if (replaces || start.secrets === undefined) start.secrets = (await keystore.load()) ?? start.secrets
      const startOn = (listen: readonly string[]): Promise<Stack> =>
        startStack({
          ...around,
          entryAddresses: start.addresses,
          secrets: start.secrets as Secrets,
          keep,
          storeId,
          measuredBytes,
          own,
          onDoubt,
          // A device that was still asking to be let in had nothing yet that could be lost, however often it was
          // started.
          isNew: (isNew || start.entry !== undefined) && !replaces,
          listen
        })
      if (listening === undefined && hasDefaultPorts) return startOnDefaultPorts(files, startOn)
      return startOn(listening ?? given)
    }
  })
  return node
}

/** Who this device is. Either it is a member already, or it has to be let in. */
interface Identified {
  secrets: Secrets | undefined
  entry: Entry | undefined
  /** Addresses at which members answer, besides those of `bootstrap`. */
  addresses: string[]
}

async function identify(around: EntryInit): Promise<Identified> {
  const { options, files } = around
  // A member that stopped right after it was let in may never have connected, so it still needs the addresses of its
  // invite.
  const addresses = options.join === undefined ? [] : decodeInviteToken(options.join).addresses
  let secrets = await memberSecrets(options, files)
  // The process was killed between the two writes that made it a member.
  if (secrets !== undefined) await candidateFileOf(options, files).remove()
  const way = wayInOf(options)
  if (secrets === undefined && way === 'none') throw new InvalidInputError(NO_WAY_IN)
  const mustEnter = secrets === undefined && way !== 'key' && way !== 'found'
  const entry = mustEnter ? await prepareEntry(around) : undefined
  if (entry === undefined) secrets ??= await makeAdmin(options, files)
  return { secrets, entry, addresses }
}

/** The first phase of a node that has to be let in. Until a member has let it in, stopping it undoes nothing. */
function entryOf(start: Identified, entry: Entry, firstStart: FirstStart): NodeEntry {
  return {
    waiting: entry,
    run: async signal => {
      try {
        const { secrets, address } = await entry.run(signal, {
          onKept: () => firstStart.asks(),
          onGranted: () => firstStart.granted()
        })
        await firstStart.joined()
        start.secrets = secrets
        if (address !== undefined) start.addresses.push(address)
        return secrets.network
      } catch (error) {
        if (!signal.aborted) firstStart.refused()
        throw error
      }
    }
  }
}

/** Throws an `InvalidInputError` for options that can never work, and what `decodeInviteToken` throws. `createNode` does this before anything else. */
export function checkNodeOptions(options: NodeOptions): void {
  const { name, networkKey, join, found, role, capacityBytes, chunker, outAfterMs, ownersFiles = [] } = options
  const { listen = [], announce = [], bootstrap = [] } = options
  assertKnownOptions(options)
  if (typeof options.dataDir !== 'string')
    throw new InvalidInputError('dataDir is missing: name the directory in which the node keeps its data')
  if (options.dataDir === '') throw new InvalidInputError('the path of the data directory is empty: name a directory')
  // The node would overwrite or remove them.
  if (ownersFiles.some(isOwnName))
    throw new InvalidInputError(
      'a key or passphrase file in the data directory has a name that the node itself uses: rename it or move it'
    )
  if (name !== undefined && (name === '' || utf8(name).byteLength > LABEL_BYTES_MAX || !name.isWellFormed()))
    throw new InvalidInputError(`--name: the name of a device has 1 to ${LABEL_BYTES_MAX} bytes`)
  if (name !== undefined && !VISIBLE.test(name))
    throw new InvalidInputError('--name: the name of a device has at least one character that can be seen')
  if (networkKey !== undefined && networkKey.byteLength !== 32)
    throw new InvalidInputError('a network key has 32 bytes')
  if (join !== undefined) {
    if (networkKey !== undefined || found === true)
      throw new InvalidInputError('an invite and a network key, or an invite and a new network, exclude each other')
    decodeInviteToken(join)
  }
  if (role !== undefined && !ASKED_ROLES.includes(role))
    throw new InvalidInputError('a machine can ask for one of the roles writer, reader and storage')
  if (
    capacityBytes !== undefined &&
    !(Number.isInteger(capacityBytes) && capacityBytes > 0 && capacityBytes <= CAPACITY_BYTES_MAX)
  )
    throw new InvalidInputError(
      '--capacity (capacityBytes) is out of bounds: give a whole number of bytes, at most 1 PiB'
    )
  if (chunker !== undefined && !CHUNKERS.includes(chunker))
    throw new InvalidInputError(`--chunker (chunker) is one of ${CHUNKERS.join(', ')}`)
  if (outAfterMs !== undefined && !(outAfterMs >= OUT_AFTER_MS_MIN && outAfterMs <= OUT_AFTER_MS_MAX))
    throw new InvalidInputError('--out-after (outAfterMs) is out of bounds: give a time from 1 second to 30 days')
  for (const address of announce) parseAddress(address, '--announce')
  if (options.transports !== undefined) return
  for (const address of listen) checkListen(address)
  for (const address of bootstrap) dialAddress(address)
}

/**
 * Returns true until a first start on this directory has succeeded. Changes nothing, and refuses as `createNode` does.
 */
export function isFirstStart({ dataDir, ownersFiles }: Pick<NodeOptions, 'dataDir' | 'ownersFiles'>): Promise<boolean> {
  return isFirstStartOn(dataDir, ownersFiles)
}
