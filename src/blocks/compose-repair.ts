import type { BlockCid } from '../format/cid.ts'
import { reasonOf } from '../util/logger.ts'
import type { Worker } from '../util/worker.ts'
import type { Base, Fetching, LocalStore } from './compose.ts'
import { ClaimingNodes } from './hold/claiming-nodes.ts'
import { releasedBlockKey } from './hold/release-rows.ts'
import type { Keeper } from './keep/keeper.ts'
import type { StoreClient } from './protocol/store-client.ts'
import type { RecordRef } from './record-ref.ts'
import { AtRisk } from './repair/at-risk.ts'
import { BlockCheck } from './repair/check.ts'
import { CopyFreer } from './repair/copy-freer.ts'
import { evictedKey } from './repair/evicted-blocks.ts'
import { FreeGuard } from './repair/free-guard.ts'
import { FreePlanner } from './repair/free-planner.ts'
import { Freeing } from './repair/freeing.ts'
import { Freer } from './repair/freer.ts'
import { inventory } from './repair/inventory.ts'
import { PutEnds, type PutEndsOptions } from './repair/put-ends.ts'
import { ReadRepair } from './repair/read-repair.ts'
import { Releaser } from './repair/releaser.ts'
import { Repair } from './repair/repair.ts'
import { RoomMaker } from './repair/room-maker.ts'
import { endOrphans, notePromised } from './repair/stop-marks.ts'
import { Surplus } from './repair/surplus.ts'
import { Sweeper } from './repair/sweep.ts'

/** Assembles the parts of the blocks room that walk records, pull what is owed, and free what is not needed. */

export interface Repairing {
  repair: Repair
  readRepair: ReadRepair
  freer: Freer
  copyFreer: CopyFreer
  guard: FreeGuard
  atRisk: AtRisk
  nodes: ClaimingNodes
  surplus: Surplus
  releaser: Releaser
  workers: readonly Worker[]
  /** Returns false while it is not certain which blocks are needed. */
  mayFree: () => boolean
  /** Returns true if this member has said to the others that it is full. */
  isFull: () => boolean
  /** Resumes, in the background, the work that was unfinished at the last stop. */
  start(options: { promisedMs: number; wasClean: boolean }): Promise<void>
  stop(): Promise<void>
  /** Notes in the index how long the promises to other members last, for the next start. */
  notePromised(): Promise<void>
}

/**
 * Builds the parts that walk records and pull the blocks that are owed, and those that free copies. Nothing runs before
 * `start`.
 */
export function composeRepair(
  base: Base,
  held: LocalStore,
  { fetcher, puller, readNode }: Fetching,
  { storeClient, keeper }: { storeClient: StoreClient; keeper: Keeper }
): Repairing {
  const { self, clock, logger, store, view } = base
  const { holds } = held
  const { index } = store
  const shared = { ...base, ...held, index, storeClient }
  // The parts call each other. No such function is called before all of them are built.
  const mayFree = (): boolean => base.mayFree() && repair.isCertain
  const markEvicted: Repair['markEvicted'] = (cid, referrers) => repair.markEvicted(cid, referrers)
  const isWalkingReleased = (): Promise<boolean> => repair.isWalkingReleased()
  const forget = async (cid: BlockCid): Promise<void> => {
    await index.batch([releasedBlockKey(cid), evictedKey(cid)].map(key => ({ type: 'del', key })))
    await atRisk.forget(cid)
  }
  const nodes = new ClaimingNodes({ ...shared, readNode })
  const freer = new Freer({ ...shared, nodes, markEvicted, isWalkingReleased, forget, mayFree })
  const copyFreer = new CopyFreer({ ...shared, freer, viewId: () => view().id, readNode })
  const caughtUp = async (): Promise<void> => {
    await readRepair.settled()
    await repair.caughtUp()
  }
  const guard = new FreeGuard({ clock, logger, caughtUp, mayFree })
  const isFull = (): boolean => view().members.some(member => member.peer === self && member.isFull)
  const surplus = new Surplus({ ...shared, copyFreer, guard, isFull })
  const atRisk = new AtRisk(shared)
  const forgetRecord = (record: RecordRef): Promise<boolean> => repair.forgetReleased(record)
  const releaser = new Releaser({ ...shared, nodes, freer, forgetRecord, caughtUp, mayFree })
  const takeLinkedPuts = keeper.takeLinkedPuts.bind(keeper)
  const linkedPuts = keeper.linkedPuts.bind(keeper)
  const repair = new Repair({ ...shared, nodes, fetcher, puller, takeLinkedPuts, linkedPuts, surplus, atRisk })
  const readRepair = new ReadRepair({ ...base, repair })
  return {
    repair,
    readRepair,
    freer,
    copyFreer,
    guard,
    atRisk,
    nodes,
    surplus,
    releaser,
    workers: [repair.worker, atRisk.worker, surplus.worker, releaser.worker],
    mayFree,
    isFull,
    start: async ({ promisedMs, wasClean }) => {
      guard.notePromised(promisedMs)
      await repair.start({ wasClean })
      await atRisk.start()
      surplus.worker.start()
      // Look soon at what was released before the last stop.
      releaser.worker.wake()
      releaser.worker.start()
    },
    stop: async () => {
      await releaser.worker.stop()
      await surplus.worker.stop()
      await atRisk.worker.stop()
      await readRepair.settled()
      await repair.stop()
    },
    notePromised: () =>
      // An index that accepts no changes is not marked as closed either, so the next start assumes the longest promise.
      notePromised(index, clock, Math.max(guard.promisedMs, holds.lastMs)).catch(error =>
        logger.forComponent('dfs:blocks')('could not note what this member has promised: %s', reasonOf(error))
      )
  }
}

/** Builds the parts that free blocks which nothing claims any more, or on a full disk only puts that are over. */
export function composeSweep(
  base: Base,
  held: LocalStore,
  repairing: Repairing,
  { puller }: Pick<Fetching, 'puller'>,
  { isUnderWay, isGivenUp }: Pick<PutEndsOptions, 'isUnderWay' | 'isGivenUp'>
): { sweeper: Sweeper; roomMaker: RoomMaker; freeing: Freeing } {
  const { self, clock, logger, store, onError } = base
  const { mayFree, isFull, repair, freer, releaser } = repairing
  const isVerified = (): boolean => store.isVerified && repair.hasWalkedAll
  const onOrphansFreed = (): Promise<void> => endOrphans(store.index)
  const shared = { clock, logger, ...held, isUnderWay, mayFree, onError }
  const sweeper = new Sweeper({ ...shared, freer, isVerified, onOrphansFreed })
  const caughtUp = (): Promise<void> => repair.caughtUp()
  const putEnds = new PutEnds({ self, ...held, isUnderWay, isGivenUp })
  const planner = new FreePlanner({ ...base, ...held, ...repairing, sweeper, putEnds, index: store.index })
  const mayHaveOrphans = (): boolean => sweeper.mayHaveOrphans
  const check = new BlockCheck({ ...base, ...held, ...repairing, puller, index: store.index, mayHaveOrphans })
  const roomMaker = new RoomMaker({ ...shared, putEnds, sweeper, releaser, isFull, caughtUp })
  return {
    sweeper,
    roomMaker,
    freeing: new Freeing({
      ...repairing,
      ...{ clock, sweeper, roomMaker, putEnds, planner },
      incomplete: () => repair.incomplete,
      check,
      inventory: signal => inventory({ ...base, ...held, ...repairing, putEnds }, signal)
    })
  }
}
