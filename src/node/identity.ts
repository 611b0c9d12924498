import { hostname } from 'node:os'
import type { NodeOptions } from '../api.ts'
import { CandidateFile } from '../disk/candidate.ts'
import { UnknownLayoutError } from '../disk/errors.ts'
import type { Files } from '../disk/files.ts'
import { Keystore, type Secrets } from '../disk/keystore.ts'
import { LABEL_BYTES_MAX } from '../format/constants.ts'
import { decodeInviteToken } from '../format/invite-token.ts'
import { deriveNetwork } from '../format/network-key.ts'
import { assertOwnGrant, becomeAdmin, generateNetworkKey } from '../members/founding.ts'
import { equalBytes, utf8 } from '../util/bytes.ts'
import { systemChance } from '../util/chance.ts'
import { systemClock } from '../util/clock.ts'
import { InvalidInputError } from '../util/errors.ts'
import { debugLogger } from '../util/logger.ts'

/**
 * How a new directory becomes that of a member: by the network's key, by an invite, by approval of a member at an
 * address, by approval of a member nearby if there is one, or by founding a network. `none` if the options name no way:
 * then the directory must be a member's already.
 */
export type WayIn = 'key' | 'invite' | 'approval' | 'look' | 'found' | 'none'

export function wayInOf({ networkKey, found, join, bootstrap = [], choose }: NodeOptions): WayIn {
  if (found === true) return 'found'
  if (networkKey !== undefined) return 'key'
  if (join !== undefined) return 'invite'
  if (bootstrap.length > 0) return 'approval'
  return choose === undefined ? 'none' : 'look'
}

/**
 * Returns the secrets of the member that this directory belongs to. A new directory is first made an admin's, either of
 * the network whose key is given or of a network that it founds. Throws what `memberSecrets` throws.
 */
export async function secretsOf(options: NodeOptions, files: Files): Promise<Secrets> {
  return (await memberSecrets(options, files)) ?? makeAdmin(options, files)
}

/**
 * Returns the secrets of the member that this directory belongs to, or undefined if it is new. Throws an
 * `InvalidInputError` for a directory of another network than that of the key or the invite, an `UnknownLayoutError` for
 * a directory that has lost its keystore, and the errors of the keystore.
 */
export async function memberSecrets(options: NodeOptions, files: Files): Promise<Secrets | undefined> {
  const known = await keystoreOf(options, files).load()
  if (known === undefined) {
    await assertNew(files)
    return undefined
  }
  const { network, source } = namedNetwork(options) ?? {}
  if (network !== undefined && !equalBytes(network, known.network))
    throw new InvalidInputError(`this data directory belongs to another network than this ${source}`)
  assertOwnGrant(known)
  return known
}

/** Makes a new directory that of an admin. What it writes is durable when this resolves. */
export async function makeAdmin(options: NodeOptions, files: Files): Promise<Secrets> {
  const { networkKey, clock = systemClock, chance = systemChance } = options
  const founds = options.found === true || networkKey === undefined
  const secrets = becomeAdmin({
    networkKey: networkKey ?? generateNetworkKey(chance),
    name: deviceName(options.name),
    keepNetworkKey: founds,
    outAfterMs: founds ? options.outAfterMs : undefined,
    chunker: founds ? options.chunker : undefined,
    clock,
    chance
  })
  await keystoreOf(options, files).save(secrets)
  // An earlier start may have asked to be let in elsewhere.
  await candidateFileOf(options, files).remove()
  return secrets
}

/**
 * Returns true if there is a keystore, and it belongs to another network than that of the key or the invite. Throws the
 * errors of the keystore.
 */
export async function isOfAnotherNetwork(options: NodeOptions, files: Files): Promise<boolean> {
  const { network } = namedNetwork(options) ?? {}
  if (network === undefined) return false
  const known = await keystoreOf(options, files).load()
  return known !== undefined && !equalBytes(network, known.network)
}

/** The network that the options name, and what names it. */
function namedNetwork({ networkKey, join }: NodeOptions): { network: Uint8Array; source: string } | undefined {
  if (networkKey !== undefined) return { network: deriveNetwork(networkKey).network, source: 'key' }
  return join === undefined ? undefined : { network: decodeInviteToken(join).network, source: 'invite' }
}

type KeystoreInit = Pick<NodeOptions, 'chance' | 'logger' | 'passphrase'>

/** Returns the keystore in the data directory. */
export function keystoreOf(
  { chance = systemChance, logger = debugLogger, passphrase }: KeystoreInit,
  files: Files
): Keystore {
  return new Keystore({ files, chance, logger, passphrase })
}

/** Returns the file with the keys of a device that is not a member yet. */
export function candidateFileOf({ chance = systemChance, passphrase }: KeystoreInit, files: Files): CandidateFile {
  return new CandidateFile({ files, chance, passphrase })
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

/** Returns the name of this device, by default that of the machine. */
export function deviceName(name: string | undefined): string {
  if (name !== undefined) return name
  const host = [...hostname()].filter(character => utf8(character).byteLength === 1).join('')
  return host.slice(0, LABEL_BYTES_MAX) || 'node'
}
