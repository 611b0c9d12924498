import type { DfsNode, NodeOptions } from '../api.ts'
import { makeDataDirectory, openFormat } from '../disk/data-directory.ts'
import { lockDirectory } from '../disk/lock.ts'
import { MonitoredFiles } from '../disk/monitored-files.ts'
import { CAPACITY_BYTES_MAX, LABEL_BYTES_MAX, OUT_AFTER_MS_MAX } from '../format/constants.ts'
import { copiesOf } from '../fs/context.ts'
import { OUT_AFTER_MS_MIN } from '../members/constants.ts'
import { utf8 } from '../util/bytes.ts'
import { systemChance } from '../util/chance.ts'
import { systemClock } from '../util/clock.ts'
import { InvalidInputError } from '../util/errors.ts'
import { debugLogger } from '../util/logger.ts'
import { secretsOf } from './identity.ts'
import { Node } from './node.ts'
import { defaultListen, rememberPorts } from './ports.ts'
import { startStack } from './stack.ts'

const REPLICAS_DEFAULT = 3

/**
 * Starts a node on a data directory and resolves once the node answers. The node is the member whose keystore is in the
 * directory. In a new directory, it becomes an admin of the network whose key is given, or of a network that it founds.
 *
 * Throws a `DfsError` with one of these codes: `locked` if another process has the directory; `wrong-key` for the
 * passphrase; `not-allowed` if there is an address to join at but neither a key nor `found`; `invalid` for options that
 * can never work, or for a directory of another network; `port-taken`; `unsupported` for a directory of an unknown
 * layout, or for one that has lost its keystore; and the codes of the disk.
 */
export async function createNode(options: NodeOptions): Promise<DfsNode> {
  checkOptions(options)
  const { dataDir, clock = systemClock, chance = systemChance, logger = debugLogger, onEvent = () => {} } = options
  await makeDataDirectory(dataDir)
  const unlock = await lockDirectory(dataDir, { logger })
  try {
    const files = new MonitoredFiles(dataDir)
    const { storeId, isNew } = await openFormat(files, chance, logger)
    const secrets = await secretsOf(options, files)
    const hasDefaultPorts = options.listen === undefined && options.transports === undefined
    const given = options.listen ?? (hasDefaultPorts ? await defaultListen(files) : [])
    const fixed = { options, files, secrets, storeId, clock, chance, logger, onEvent }
    const defaults = { replicas: copiesOf(options.replicas) ?? REPLICAS_DEFAULT, ack: copiesOf(options.ack) }
    const node = new Node({
      files,
      unlock,
      clock,
      logger,
      onEvent,
      network: secrets.network,
      startStack: (onDoubt, listening) =>
        // A stack that replaces another one finds the files of that stack, so its directory is not new.
        startStack({ ...fixed, defaults, onDoubt, isNew: isNew && listening === undefined, listen: listening ?? given })
    })
    await node.start()
    if (hasDefaultPorts) await rememberPorts(files, node.listening())
    return node
  } catch (error) {
    await unlock()
    throw error
  }
}

function checkOptions({ name, networkKey, capacityBytes, outAfterMs }: NodeOptions): void {
  if (name !== undefined && (name === '' || utf8(name).byteLength > LABEL_BYTES_MAX || !name.isWellFormed()))
    throw new InvalidInputError(`the name of a device has 1 to ${LABEL_BYTES_MAX} bytes`)
  if (networkKey !== undefined && networkKey.byteLength !== 32)
    throw new InvalidInputError('a network key has 32 bytes')
  if (
    capacityBytes !== undefined &&
    !(Number.isInteger(capacityBytes) && capacityBytes > 0 && capacityBytes <= CAPACITY_BYTES_MAX)
  )
    throw new InvalidInputError('a capacity is a whole number of bytes, at most 1 PiB')
  if (outAfterMs !== undefined && !(outAfterMs >= OUT_AFTER_MS_MIN && outAfterMs <= OUT_AFTER_MS_MAX))
    throw new InvalidInputError(`a member counts as out after 1 second to 30 days`)
}
