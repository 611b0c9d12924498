import { hostname } from 'node:os'
import type { NodeOptions } from '../api.ts'
import { UnknownLayoutError } from '../disk/errors.ts'
import type { Files } from '../disk/files.ts'
import { Keystore, type Secrets } from '../disk/keystore.ts'
import { LABEL_BYTES_MAX } from '../format/constants.ts'
import { deriveNetwork } from '../format/network-key.ts'
import { NotAllowedError } from '../members/errors.ts'
import { assertOwnGrant, becomeAdmin, generateNetworkKey } from '../members/founding.ts'
import { equalBytes, utf8 } from '../util/bytes.ts'
import { systemChance } from '../util/chance.ts'
import { systemClock } from '../util/clock.ts'
import { InvalidInputError } from '../util/errors.ts'
import { debugLogger } from '../util/logger.ts'

type KeystoreInit = Pick<NodeOptions, 'chance' | 'logger' | 'passphrase'>

/**
 * Returns the secrets of the member that this directory belongs to. A new directory is first made a member, either of
 * the network whose key is given or of a network that it founds. Throws an `InvalidInputError` for a directory of
 * another network, a `NotAllowedError` if there is an address to join at but neither a key nor `found`, an
 * `UnknownLayoutError` for a directory that has lost its keystore, and the errors of the keystore.
 */
export async function secretsOf(options: NodeOptions, files: Files): Promise<Secrets> {
  const { networkKey, bootstrap = [], clock = systemClock, chance = systemChance } = options
  const keystore = keystoreOf(options, files)
  const known = await keystore.load()
  if (known !== undefined) {
    if (isAnother(known, networkKey)) {
      throw new InvalidInputError('this data directory belongs to another network than this key')
    }
    assertOwnGrant(known)
    return known
  }
  await assertNew(files)
  const founds = options.found === true || (networkKey === undefined && bootstrap.length === 0)
  if (networkKey === undefined && !founds) {
    throw new NotAllowedError(
      'this node belongs to no network yet: give --network-key-file with the key of the network to join, or --new to found one'
    )
  }
  const secrets = becomeAdmin({
    networkKey: networkKey ?? generateNetworkKey(chance),
    name: deviceName(options.name),
    keepNetworkKey: founds,
    outAfterMs: founds ? options.outAfterMs : undefined,
    clock,
    chance
  })
  await keystore.save(secrets)
  return secrets
}

/**
 * Returns true if there is a keystore, and it belongs to another network than the one whose key is given. Throws the
 * errors of the keystore.
 */
export async function isOfAnotherNetwork(options: NodeOptions, files: Files): Promise<boolean> {
  if (options.networkKey === undefined) return false
  const known = await keystoreOf(options, files).load()
  return known !== undefined && isAnother(known, options.networkKey)
}

function isAnother(known: Secrets, networkKey: Uint8Array | undefined): boolean {
  return networkKey !== undefined && !equalBytes(deriveNetwork(networkKey).network, known.network)
}

/** Returns the keystore in the data directory. */
export function keystoreOf(
  { chance = systemChance, logger = debugLogger, passphrase }: KeystoreInit,
  files: Files
): Keystore {
  return new Keystore({ files, chance, logger, passphrase })
}

/**
 * Throws if this directory has already belonged to a member, which means that it has rows but no keystore. A new
 * identity could not open these rows, and the old one would be lost silently.
 */
async function assertNew(files: Files): Promise<void> {
  for (const name of await files.list('segments')) {
    if (((await files.size(`segments/${name}`)) ?? 0) === 0) continue
    throw new UnknownLayoutError(
      'the data directory has lost its keystore, without which nothing in it can be read: put the file keystore back, or start with another --data-dir'
    )
  }
}

function deviceName(name: string | undefined): string {
  if (name !== undefined) return name
  const host = [...hostname()].filter(character => utf8(character).byteLength === 1).join('')
  return host.slice(0, LABEL_BYTES_MAX) || 'node'
}
