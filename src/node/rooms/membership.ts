import type { Blocks } from '../../blocks/blocks.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { Log } from '../../log/log.ts'
import { Sync } from '../../log/sync.ts'
import { OUT_AFTER_MS } from '../../members/constants.ts'
import { KeyRing } from '../../members/key-ring.ts'
import { LocalMember } from '../../members/local-member.ts'
import { Members } from '../../members/members.ts'
import { Roster } from '../../members/roster.ts'
import { Statuses } from '../../members/statuses.ts'
import { Libp2pHost } from '../../wire/libp2p-host.ts'
import type { DiskRoom } from './disk.ts'
import type { RoomOptions } from './options.ts'

/** Who is in, what they have signed, and how they reach each other. */
export interface Membership {
  host: Libp2pHost
  log: Log
  self: LocalMember
  keys: KeyRing
  members: Members
  statuses: Statuses
  sync: Sync
}

interface RoomsAround {
  disk: DiskRoom
  /** The room above, which is not built yet. */
  blocks: Blocks
}

export async function buildMembership(init: RoomOptions, rooms: RoomsAround): Promise<Membership> {
  const { options, secrets, listen, clock, chance, logger, onEvent } = init
  const { store, capacity } = rooms.disk
  const outAfterMs = options.outAfterMs ?? OUT_AFTER_MS
  const self = new LocalMember(secrets, clock, chance)
  const host = await Libp2pHost.create({
    deviceSeed: secrets.device,
    listen,
    announce: options.announce,
    mdns: options.mdns ?? true,
    transports: options.transports,
    logger
  })
  const log = new Log({ store, clock, network: secrets.network, logger })
  const roster = new Roster(secrets.network)
  log.authorizer = roster
  const statuses = new Statuses({
    roster,
    clock,
    logger,
    outAfterMs,
    markDead: items => store.markDead(items.map(({ place }) => place))
  })
  const onFault = (peer: PeerId): void => {
    rooms.blocks.onFault(peer)
    onEvent({ event: 'fault', peerId: peer })
  }
  const members = new Members({
    host,
    store,
    log,
    self,
    roster,
    statuses,
    clock,
    chance,
    logger,
    bootstrap: options.bootstrap ?? [],
    outAfterMs,
    capacity: () => ({ weight: capacity.capacityBytes, isFull: capacity.isFull }),
    onFault
  })
  const sync = new Sync({
    host,
    log,
    clock,
    logger,
    isAdmitted: peer => members.isAdmitted(peer),
    admitted: () => members.admitted,
    confirmPut: (statement, put, from) => rooms.blocks.confirmPut(statement, put, from),
    onFault,
    onClockOff: () => members.askForTime()
  })
  log.register(roster)
  log.register(statuses)
  return { host, log, self, keys: new KeyRing(secrets.epochs), members, statuses, sync }
}
