import type { BlockCid } from '../format/cid.ts'
import type { Worker } from '../util/worker.ts'
import {
  type Base,
  type Clients,
  composeClients,
  composeCopies,
  composeFetching,
  composeForOthers,
  composeHandoff,
  composeLocalStore,
  composePuts,
  type PutParts,
  serveProtocols
} from './compose.ts'
import { composeRepair, composeSweep, type Repairing } from './compose-repair.ts'
import type { Fetcher } from './fetch/fetcher.ts'
import type { LocalBlocks } from './hold/local-blocks.ts'
import type { MakeRoom } from './hold/with-room.ts'
import type { Keeper } from './keep/keeper.ts'
import { Memory } from './memory.ts'
import type { BlocksOptions } from './options.ts'
import type { HintedHandoff } from './put/handoff.ts'
import type { Puts } from './put/puts.ts'
import { PutWindow } from './put/window.ts'
import { currentRanking, type Ranking } from './rank.ts'
import type { Freeing } from './repair/freeing.ts'
import type { RoomMaker } from './repair/room-maker.ts'
import type { Sweeper } from './repair/sweep.ts'

/** The parts of the blocks room to which `Blocks` passes calls on. */
export interface Parts {
  memory: Memory
  ranking: () => Ranking
  local: LocalBlocks
  clients: Clients
  fetcher: Fetcher
  keeper: Keeper
  repairing: Repairing
  handoff: HintedHandoff
  /** Asks the other members which chunks of a file they hold. */
  copies: ReturnType<typeof composeCopies>
  sweeper: Sweeper
  roomMaker: RoomMaker
  freeing: Freeing
  puts: Puts
  workers: readonly Worker[]
}

/** Builds all parts of the blocks room, and begins to answer both protocols. `isReading` says if a read is under way. */
export function composeBlocks(options: BlocksOptions, isReading: () => boolean): Parts {
  const ranking = currentRanking(options.view)
  const memory = new Memory(options.clock)
  // The parts call each other. No such function is called before all of them are built.
  const onBadBlock: BlocksOptions['onBadBlock'] = error => {
    options.onBadBlock(error)
    repairing.repair.noteBad(error.cid)
  }
  const isBusy = (): boolean => isReading() || puts.hasAny
  const onLeft = (cids: readonly BlockCid[]): void => repairing.releaser.leave(cids)
  const makeRoom: MakeRoom = () => roomMaker.makeRoom()
  const base: Base = { ...options, onBadBlock, ranking, memory, isBusy, onLeft }
  const held = composeLocalStore(base)
  const { local } = held
  const clients = composeClients(base)
  const { storeClient } = clients
  const fetching = composeFetching(base, held, clients)
  const { fetcher, readNode } = fetching
  const keeping = composeForOthers(base, held, fetching, makeRoom)
  const { keeper } = keeping
  const window = new PutWindow()
  serveProtocols(base, { local, window }, clients, keeping)
  const repairing = composeRepair(base, held, fetching, { storeClient, keeper })
  const handoff = composeHandoff(base, held, storeClient, readNode)
  const copies = composeCopies(base, local, storeClient, readNode)
  const { sweeper, roomMaker, freeing } = composeSweep(base, held, repairing, fetching, {
    isUnderWay: put => puts.isUnderWay(put),
    isGivenUp: put => keeper.isGivenUp(put)
  })
  const abandon: PutParts['abandon'] = put => sweeper.abandon(put)
  const puts = composePuts(base, { ...held, window }, { clients, fetching, keeper, abandon, makeRoom })
  const workers = [...repairing.workers, handoff.worker, sweeper.worker, roomMaker.worker]
  const parts = { memory, ranking, local, clients, fetcher, keeper, repairing, handoff, copies }
  return { ...parts, sweeper, roomMaker, freeing, puts, workers }
}
