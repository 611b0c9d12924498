import type { Blocks } from '../../blocks/blocks.ts'
import { CAPACITY_BYTES_MAX } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { Log } from '../../log/log.ts'
import { Sync } from '../../log/sync.ts'
import { KeyRing } from '../../members/key-ring.ts'
import { LocalMember } from '../../members/local-member.ts'
import { Members, type MembersOptions } from '../../members/members.ts'
import { Roster } from '../../members/roster.ts'
import { Settings } from '../../members/settings.ts'
import { Statuses } from '../../members/statuses.ts'
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
  members: Members
  statuses: Statuses
  sync: Sync
}

interface RoomsAround {
  disk: DiskRoom
  /** The room above. It is not built yet when this object is passed. */
  blocks: Blocks
}

export async function buildMembership(init: RoomOptions, rooms: RoomsAround): Promise<Membership> {
  const { secrets, clock, chance, onEvent } = init
  const { store, index } = rooms.disk
  const host = await init.platform.host(init)
  const log = new Log({ store, clock, chance, logger: init.logger })
  const roster = new Roster(secrets.network, clock)
  log.authorizer = roster
  const settings = new Settings()
  const statuses = buildStatuses(init, { roster, settings })
  for (const projection of [roster, settings, statuses]) log.register(projection)
  const self = new LocalMember(secrets, clock, chance)
  const onFault = (peer: PeerId): void => {
    rooms.blocks.onFault(peer)
    onEvent({ event: 'fault', peerId: peer })
  }
  const members = buildMembers(init, rooms.disk, { host, log, self, roster, settings, statuses, onFault })
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
    onClockOff: () => members.askForTime()
  })
  return { host, log, self, roster, keys: new KeyRing(secrets.epochs), members, statuses, sync }
}

function buildStatuses(init: RoomOptions, parts: { roster: Roster; settings: Settings }): Statuses {
  return new Statuses({
    ...parts,
    clock: init.clock,
    logger: init.logger
  })
}

type MembersParts = Pick<MembersOptions, 'host' | 'log' | 'self' | 'roster' | 'settings' | 'statuses' | 'onFault'>

function buildMembers(init: RoomOptions, { store, capacity }: DiskRoom, parts: MembersParts): Members {
  return new Members({
    ...parts,
    store,
    clock: init.clock,
    chance: init.chance,
    logger: init.logger,
    bootstrap: init.options.bootstrap ?? [],
    outAfterMs: init.options.outAfterMs,
    capacity: () => ({ weight: Math.min(capacity.capacityBytes, CAPACITY_BYTES_MAX), isFull: capacity.isFull })
  })
}
