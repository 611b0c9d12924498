import type { Blocks } from '../../blocks/blocks.ts'
import type { SealedEntries } from '../../catalog/sealed-entries.ts'
import { CAPACITY_BYTES_MAX } from '../../format/constants.ts'
import { deriveNetwork, privateKey } from '../../format/network-key.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { Log } from '../../log/log.ts'
import type { Verdict } from '../../log/projection.ts'
import { Sync } from '../../log/sync.ts'
import { Epochs } from '../../members/epochs.ts'
import { Handovers } from '../../members/handovers.ts'
import { KeyReceiver, type KeyReceiverOptions, type Recipient } from '../../members/key-receiver.ts'
import { KeyRing } from '../../members/key-ring.ts'
import { LocalMember } from '../../members/local-member.ts'
import { Members, type MembersOptions } from '../../members/members.ts'
import { Outs } from '../../members/outs.ts'
import { Roster } from '../../members/roster.ts'
import { Settings } from '../../members/settings.ts'
import { Statuses } from '../../members/statuses.ts'
import { equalBytes } from '../../util/bytes.ts'
import { placeOf } from '../../wire/addresses.ts'
import type { NodeHost } from '../platform.ts'
import type { DiskRoom } from './disk.ts'
import type { RoomOptions } from './options.ts'

/** The members, the statements that they have signed, and the means by which they reach each other. */
export interface Membership {
  host: NodeHost
  log: Log
  self: LocalMember
  roster: Roster
  keys: KeyRing
  epochs: Epochs
  keyReceiver: KeyReceiver
  members: Members
  statuses: Statuses
  settings: Settings
  sync: Sync
}

interface RoomsAround {
  disk: DiskRoom
  /** The rooms above. They are not built yet when this object is passed. */
  blocks: Blocks
  catalog: { sealed: Pick<SealedEntries, 'opensAny'> }
}

export async function buildMembership(init: RoomOptions, rooms: RoomsAround): Promise<Membership> {
  const { secrets, clock, chance, onEvent } = init
  const { store, index } = rooms.disk
  const host = await init.platform.host(init)
  const log = new Log({ store, clock, chance, logger: init.logger })
  const roster = new Roster(secrets.network, clock)
  log.authorizer = roster
  const settings = new Settings()
  log.quotaRules = () => ({ quota: settings.quota, members: () => roster.members.length })
  const outs = new Outs()
  const statuses = buildStatuses(init, { roster, settings, outs })
  const self = new LocalMember(secrets, clock, chance)
  const epochs = new Epochs({ network: secrets.network, isEffective: grant => roster.isEffective(grant) })
  roster.onChange(() => epochs.refresh())
  const recipients = recipientsOf(init, self)
  const handovers = new Handovers(recipients.map(({ key }) => key))
  for (const projection of [roster, settings, outs, statuses, epochs, handovers]) log.register(projection)
  const keys = new KeyRing(secrets.epochs, epochs)
  const keyReceiver = buildKeyReceiver(init, rooms, {
    self,
    recipients,
    log,
    roster,
    epochs,
    handovers,
    keys,
    members: () => members
  })
  const onFault = (peer: PeerId): void => {
    rooms.blocks.onFault(peer)
    onEvent({ event: 'fault', peerId: peer })
  }
  const members = buildMembers(init, rooms.disk, {
    host,
    log,
    self,
    roster,
    settings,
    outs,
    statuses,
    alsoLoad: [epochs, handovers],
    handovers: keyReceiver,
    onFault
  })
  const sync = new Sync({
    host,
    index,
    log,
    clock,
    logger: init.logger,
    isAdmitted: peer => members.isAdmitted(peer),
    admitted: () => members.admitted,
    confirmPut: (statement, put, from) => rooms.blocks.confirmPut(statement, put, from),
    onFault,
    onChanged: peer => members.compareSoon(peer),
    onDoubt: peer => onEvent({ event: 'differs', peerId: peer }),
    lost: async limit => log.lost(limit),
    onClockOff: () => members.clocks.askSoon()
  })
  return { host, log, self, roster, keys, epochs, keyReceiver, members, statuses, settings, sync }
}

/**
 * Returns the keys for which handovers to this member are sealed: its own and, while it holds the network key, the
 * recovery key. Other members may open later epochs before they know of this one, and then they seal the keys for the
 * recovery key only.
 */
function recipientsOf({ secrets, options }: RoomOptions, self: LocalMember): Recipient[] {
  const own = { key: self.publicKey, x25519: privateKey('x25519', secrets.x25519) }
  const networkKey = options.networkKey ?? secrets.networkKey
  if (networkKey === undefined) return [own]
  const { recovery, recoveryKey } = deriveNetwork(networkKey)
  return [own, { key: recovery, x25519: recoveryKey }]
}

function buildKeyReceiver(
  { secrets, keep, clock, chance, logger }: RoomOptions,
  rooms: Pick<RoomsAround, 'catalog'>,
  parts: Pick<KeyReceiverOptions, 'self' | 'recipients' | 'roster' | 'epochs' | 'handovers' | 'keys'> & {
    log: Log
    /** They are built after this. */
    members: () => Members
  }
): KeyReceiver {
  const { log, members } = parts
  return new KeyReceiver({
    ...parts,
    clock,
    chance,
    logger,
    held: secrets.epochs,
    opensAny: (epoch, key) => rooms.catalog.sealed.opensAny(epoch, key),
    keep: async key =>
      keep?.(now => ({ ...now, epochs: [...now.epochs.filter(({ id }) => !equalBytes(id, key.id)), key] })),
    admitted: () => members().admitted,
    ask: (peer, epoch, signal) => members().askForKey(peer, epoch, signal),
    receive: async (statement, from) => (await log.receive([statement], from))[0] as Verdict
  })
}

function buildStatuses(init: RoomOptions, parts: { roster: Roster; settings: Settings; outs: Outs }): Statuses {
  return new Statuses({
    ...parts,
    clock: init.clock,
    logger: init.logger
  })
}

type MembersParts = Pick<
  MembersOptions,
  'host' | 'log' | 'self' | 'roster' | 'settings' | 'outs' | 'statuses' | 'alsoLoad' | 'handovers' | 'onFault'
>

function buildMembers(init: RoomOptions, { store, capacity }: DiskRoom, parts: MembersParts): Members {
  return new Members({
    ...parts,
    store,
    clock: init.clock,
    chance: init.chance,
    logger: init.logger,
    bootstrap: init.options.bootstrap ?? [],
    entryAddresses: init.entryAddresses,
    onUnreachable: ({ address, reason }) => init.onEvent({ event: 'unreachable', address: placeOf(address), reason }),
    outAfterMs: init.options.outAfterMs,
    capacity: () => ({ weight: Math.min(capacity.capacityBytes, CAPACITY_BYTES_MAX), isFull: capacity.isFull })
  })
}
