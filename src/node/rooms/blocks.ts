import { Blocks } from '../../blocks/blocks.ts'
import type { DiskRoom } from './disk.ts'
import { failureReporter } from './failures.ts'
import type { Membership } from './membership.ts'
import { codecOf, type RoomOptions } from './options.ts'
import { allRecords, recordsSetAside } from './records.ts'

interface RoomsBelow {
  disk: DiskRoom
  membership: Membership
}

/** Builds the room that knows which members hold which blocks. */
export function buildBlocks(init: RoomOptions, { disk, membership }: RoomsBelow): Blocks {
  const { clock, chance, logger, onEvent, mayFree } = init
  const { store, blockstore, monitor } = disk
  const { host, log, self, members, sync } = membership
  const codec = codecOf(init)
  return new Blocks({
    host,
    store,
    blockstore,
    clock,
    chance,
    logger,
    codec,
    self: self.peerId,
    isAdmitted: peer => members.isAdmitted(peer),
    admitted: () => members.admitted,
    mayStore: peer => members.mayWrite(peer),
    view: () => members.view,
    push: (peer, statement, put) => sync.push(peer, statement, put),
    onAdded: (peer, statement) => sync.noteAcknowledged(peer, statement),
    receive: (records, from, finalCheck) => log.receive(records, from, finalCheck),
    announce: (statement, except) => sync.announce([statement], except),
    askIfThere: (peer, signal) => members.askIfThere(peer, signal),
    holders: record => sync.holders(record),
    records: after => allRecords(log, [codec.code], after),
    knows: ids => log.has(ids),
    asides: () => recordsSetAside(log, [codec.code]),
    mayFree,
    onFault: peer => onEvent({ event: 'fault', peerId: peer }),
    onBadBlock: error => onEvent({ event: 'bad-block', isDamaged: error.code === 'corrupt' }),
    onError: failureReporter('blocks', monitor, onEvent)
  })
}
