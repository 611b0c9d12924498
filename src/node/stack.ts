import type { NodeEvent } from '../api.ts'
import type { Capacity } from '../disk/capacity.ts'
import type { DiskMonitor } from '../disk/disk-monitor.ts'
import type { Files } from '../disk/files.ts'
import type { OpenReport } from '../disk/store.ts'
import type { FsContext } from '../fs/context.ts'
import type { Log } from '../log/log.ts'
import type { KeyReceiver } from '../members/key-receiver.ts'
import { closeAll } from '../util/close-all.ts'
import type { Worker } from '../util/worker.ts'
import type { Host } from '../wire/host.ts'
import { FullComparison, type OtherMember } from './full-comparison.ts'
import { KeptNetworkKey } from './kept-network-key.ts'
import { MemberList } from './member-list.ts'
import { nodeEventOf } from './membership-events.ts'
import { MembershipVerbs } from './membership-verbs.ts'
import { INDEX_FOLDER } from './platform.ts'
import type { RoomOptions } from './rooms/options.ts'
import { buildRooms, fsContextOf, type OwnDefaults, type Rooms } from './rooms/rooms.ts'

/** The running rooms of one node. They start and stop together. */
export interface Stack {
  fs: FsContext
  /** The verbs about members, invites and the network. */
  membership: MembershipVerbs
  host: Pick<Host, 'addresses'>
  capacity: Capacity
  diskMonitor: DiskMonitor
  log: Pick<Log, 'earlyCount' | 'asides' | 'lostCount'>
  /** All background work of the rooms. */
  workers: readonly Worker[]
  /** What was found when the store was opened. */
  report: OpenReport
  comparison: FullComparison
  keys: Pick<KeyReceiver, 'received'>
  /** Stops all rooms. A second call has no effect. */
  stop(): Promise<void>
}

export interface StackOptions extends Omit<RoomOptions, 'mayFree'> {
  /** True if this start created the directory. In any other directory, anything that is missing has been lost. */
  isNew: boolean
  /** What the owner of this node has asked for. */
  own: OwnDefaults
}

/**
 * Builds the rooms, brings the index up to date, and starts the rooms, the lowest first. They stop in the opposite
 * order. Throws an `IndexCorruptError` if the index must be removed first.
 */
export async function startStack({ isNew, own, ...options }: StackOptions): Promise<Stack> {
  const stops: Array<() => unknown> = []
  const stop = (): Promise<void> => closeAll(stops.splice(0).reverse())
  try {
    const onEvent = (event: NodeEvent): void => {
      // If the index has also lost the rows derived from the damaged row, nobody knows which blocks that row needs.
      if (event.event === 'damaged' && rooms.blocks.freeing.mayHaveOrphans) void comparison.begin()
      options.onEvent(event)
    }
    const init: RoomOptions = { ...options, onEvent, mayFree: () => mayFree(rooms, comparison) }
    const rooms: Rooms = await buildRooms(init)
    const comparison = comparisonOf(init, rooms)
    const { disk, membership, blocks, catalog, workers } = rooms
    const { host, members, sync } = membership
    const verbs = membershipVerbsOf(init, rooms)

    const report = await disk.start()
    stops.push(disk.stop)
    await membership.log.load()
    await members.load()
    await comparison.load({ isNew })
    passNewsUp(rooms, comparison, options.onEvent)
    // The log was loaded before anybody listened for this.
    if (members.standing.isRemoved) options.onEvent({ event: 'removed' })
    await host.start()
    stops.push(() => host.stop())
    await blocks.start({ wasClean: report.wasClean || isNew })
    stops.push(() => blocks.stop())
    await members.start(sync)
    stops.push(
      () => sync.stop(),
      () => members.stop()
    )
    for (const worker of workers) {
      worker.start()
      stops.push(() => worker.stop())
    }
    stops.push(() => catalog.feed.close())
    const { capacity, monitor } = disk
    const fs = fsContextOf(init, rooms, { own, lastSeen: peer => verbs.lastSeen(peer) })
    const all = [...members.workers, ...blocks.workers, ...workers]
    const { log, keyReceiver: keys } = membership
    const parts = { fs, membership: verbs, host, capacity, diskMonitor: monitor, log, comparison, keys }
    return { ...parts, workers: all, report, stop }
  } catch (error) {
    await stop().catch(() => {
      // The error that ended the start is the one to report, not this one.
    })
    throw error
  }
}

/** Passes membership news up to the blocks room, which retries what was out of reach, and to the owner of the node. */
function passNewsUp(
  { membership, blocks }: Rooms,
  comparison: FullComparison,
  onEvent: (event: NodeEvent) => void
): void {
  membership.members.on(news => {
    const { event, peer } = news
    if (event === 'admitted' || (event === 'compared' && news.isFirst)) blocks.retry()
    if (event === 'compared') blocks.prepare(peer)
    // The other member would have handed over any key that this one lacks by now. If it has not, this member asks for
    // it.
    if (event === 'compared') membership.keyReceiver.worker.wake()
    if (event === 'compared') void comparison.noteCompared(peer, news.beganAtMs)
    else onEvent(nodeEventOf(news, membership.members))
  })
  membership.statuses.onView(() => {
    blocks.retry()
    void comparison.noteView()
  })
}

/** Returns false while the clock is off, or while this member has to compare its log with the others. */
function mayFree({ membership: { members } }: Rooms, comparison: FullComparison): boolean {
  return !members.clocks.isOff && comparison.isWhole
}

function comparisonOf({ clock, logger }: RoomOptions, { disk, membership: { members } }: Rooms): FullComparison {
  const others = (): OtherMember[] => {
    const states = new Map(members.view.members.map(({ peer, isOut }) => [peer, isOut ? 'out' : 'in'] as const))
    return members.all
      .filter(({ peer }) => peer !== members.self.peerId)
      .map(({ peer }) => ({ peer, state: states.get(peer) ?? 'unknown' }))
  }
  return new FullComparison({ index: disk.index, clock, logger, others })
}

function membershipVerbsOf({ clock, secrets, keep, options }: RoomOptions, { membership }: Rooms): MembershipVerbs {
  const list = new MemberList({ ...membership, clock })
  const networkKey = new KeptNetworkKey({ secrets, keep, isSealed: options.passphrase !== undefined })
  return new MembershipVerbs({ members: membership.members, list, networkKey })
}

/** Removes the index. It can be rebuilt from the segments and blocks. */
export async function removeIndex(files: Files): Promise<void> {
  await files.removeDirectory(INDEX_FOLDER)
}
