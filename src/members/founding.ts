import type { Secrets } from '../disk/keystore.ts'
import type { ChunkerName } from '../format/constants.ts'
import { deriveNetwork, NETWORK_KEY_BYTES, type NetworkKey, privateKey, rawPublicKey } from '../format/network-key.ts'
import { hlcAt } from '../format/stamp.ts'
import { decodeStatement, type Statement, signStatement } from '../format/statement.ts'
import { equalBytes } from '../util/bytes.ts'
import { type Chance, systemChance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { CHUNKER, OUT_AFTER_MS } from './constants.ts'
import { GrantError } from './errors.ts'

export interface FoundingOptions {
  networkKey: NetworkKey
  /** The device's name, as others see it. */
  name: string
  zone?: string | undefined
  /** True for the founder. Other admins keep only the grant that they signed for themselves with it. */
  keepNetworkKey: boolean
  /** The `outAfter` of a network that is founded, in ms, if it differs from the default. It is signed as a setting. */
  outAfterMs?: number | undefined
  /** How files are cut in a network that is founded, if it differs from the default. It is signed as a setting. */
  chunker?: ChunkerName | undefined
  clock: Clock
  chance: Chance
}

/**
 * Makes a device an admin of the network whose key it was given. Draws keys for it, and signs a grant with the
 * network's root key. Founding a network and joining it with its key are the same operation: the network consists of
 * the devices that have such grants.
 */
export function becomeAdmin(options: FoundingOptions): Secrets {
  const { networkKey, name, zone, keepNetworkKey, clock, chance } = options
  const { root, network, epochKey, recovery } = deriveNetwork(networkKey)
  const device = chance.bytes(32)
  const x25519 = chance.bytes(32)
  // Every holder of the key signs the same bytes, so there is only one such statement.
  const rootStatement = signStatement('root', { recovery }, { network, key: root, hlc: hlcAt(0) })
  const grant = signStatement(
    'grant',
    {
      subject: rawPublicKey(privateKey('ed25519', device)),
      x25519: rawPublicKey(privateKey('x25519', x25519)),
      role: 'admin',
      epoch: network,
      name,
      ...(zone === undefined ? {} : { zone })
    },
    { network, key: root, hlc: hlcAt(clock.now()) }
  )
  return {
    device,
    x25519,
    names: chance.bytes(32),
    network,
    // The first epoch has no statement: its id is the network's.
    epochs: [{ id: network, key: epochKey }],
    ...(keepNetworkKey ? { networkKey } : {}),
    grants: [rootStatement.bytes, grant.bytes, ...settingsOf(options, { network, device, grant })]
  }
}

/**
 * The settings of a network that is founded. They are in the keystore, so that a crash right after it was written loses
 * none of them: at each start, statements of the keystore that the log lacks are added to it.
 */
function settingsOf(
  { outAfterMs = OUT_AFTER_MS, chunker = CHUNKER }: FoundingOptions,
  { network, device, grant }: { network: Uint8Array; device: Uint8Array; grant: Statement<'grant'> }
): Uint8Array[] {
  const fields = {
    ...(outAfterMs === OUT_AFTER_MS ? {} : { outAfter: outAfterMs }),
    ...(chunker === CHUNKER ? {} : { chunker })
  }
  if (Object.keys(fields).length === 0) return []
  const signing = { network, key: privateKey('ed25519', device), grant: grant.id, hlc: grant.hlc }
  return [signStatement('settings', fields, signing).bytes]
}

/**
 * Throws a `GrantError` if these are not the secrets of one device. Any 32 bytes are a valid device key, so only the
 * grant shows whether the key has changed.
 */
export function assertOwnGrant({ device, grants }: Pick<Secrets, 'device' | 'grants'>): void {
  const grant = grants.map(bytes => decodeStatement(bytes)).findLast(({ kind }) => kind === 'grant')
  const { subject } = (grant?.fields ?? {}) as { subject?: Uint8Array }
  if (subject === undefined || !equalBytes(subject, rawPublicKey(privateKey('ed25519', device))))
    throw new GrantError('the keystore is damaged: its grant is for another device')
}

/** Draws a new network key, 32 random bytes. The holder of the key owns the network. */
export function generateNetworkKey(chance: Chance = systemChance): NetworkKey {
  return chance.bytes(NETWORK_KEY_BYTES)
}
