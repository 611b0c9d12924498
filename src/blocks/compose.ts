import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'
import { withDeadline } from '../util/deadline.ts'
import { reasonOf } from '../util/logger.ts'
import { THERE_MS } from './constants.ts'
import { type ConfirmedCopies, confirmedCopies } from './fetch/confirmed-copies.ts'
import { Fetcher } from './fetch/fetcher.ts'
import { PeerHealth } from './fetch/peer-health.ts'
import { BlockPuller } from './fetch/puller.ts'
import { Claims, type PutId } from './hold/claims.ts'
import { FreshBlocks } from './hold/fresh-blocks.ts'
import { GroupedKeeps } from './hold/grouped-keeps.ts'
import { Holds } from './hold/holds.ts'
import { LocalBlocks } from './hold/local-blocks.ts'
import type { MakeRoom } from './hold/with-room.ts'
import { HoldGranter } from './keep/granter.ts'
import { Keeper } from './keep/keeper.ts'
import { ServedBlocks } from './keep/served-blocks.ts'
import type { ReadNode } from './manifest-walk.ts'
import type { Memory } from './memory.ts'
import type { BlocksOptions } from './options.ts'
import { GetClient } from './protocol/get-client.ts'
import { GetServer } from './protocol/get-server.ts'
import { StoreClient } from './protocol/store-client.ts'
import { StoreServer } from './protocol/store-server.ts'
import { HintedHandoff } from './put/handoff.ts'
import { putLogs } from './put/logs.ts'
import { Puts } from './put/puts.ts'
import { SilenceWatch } from './put/silence.ts'
import type { PutWindow } from './put/window.ts'
import type { Ranking } from './rank.ts'
import { Uplink } from './uplink.ts'

/**
 * Assembles the blocks room, one part at a time. Each step takes the parts that earlier steps have built, so nothing is
 * used before it exists: first the disk, then the clients, the fetcher and the keeper, and finally the servers and the
 * background work.
 */

/** The input of every step. */
export interface Base extends BlocksOptions {
  /** The ranking of the current view. */
  ranking: () => Ranking
  /** Returns true while a put or a read of this member is under way. */
  isBusy: () => boolean
  memory: Memory
  /** Called with blocks here that were protected for a record which did not come. */
  onLeft: (cids: readonly BlockCid[]) => void
}

/** The blocks on this disk, the claims that say why they stay, and the promises that were made about them. */
export interface LocalStore {
  claims: Claims
  local: LocalBlocks
  /** Stores blocks of puts in `local`. */
  keeps: GroupedKeeps
  holds: Holds
}

export interface Clients {
  /** How well each peer has served blocks. */
  health: PeerHealth
  gets: GetClient
  storeClient: StoreClient
  /** Opens the streams to a member, so that neither the first put nor the first read waits for them. */
  prepare: (peer: PeerId) => void
  /** Knows which peers show no sign of life while a put waits for them. */
  silence: SilenceWatch
  /** Measures how fast blocks leave this machine. */
  uplink: Uplink
  /** Counts a fault of a peer, in this room and in the callback that the room was given. */
  onFault: (peer: PeerId) => void
}

export interface Fetching {
  fetcher: Fetcher
  puller: BlockPuller
  /** Reads a manifest node from disk or from another member. */
  readNode: ReadNode
}

/** The parts that keep blocks for other members and answer their questions. */
export interface ForOthers {
  keeper: Keeper
  granter: HoldGranter
}

/** Builds the parts that know what is on this disk: the blocks, their claims, and the promises to other members. */
export function composeLocalStore({ store, blockstore, clock, onBadBlock, onLeft }: Base): LocalStore {
  const claims = new Claims(store, clock)
  const local = new LocalBlocks(blockstore, claims, onBadBlock, new FreshBlocks(onLeft))
  return { claims, local, keeps: new GroupedKeeps(local, claims, clock), holds: new Holds(clock) }
}

/** Builds the clients of both protocols, and the record of how each peer has behaved. */
export function composeClients({ host, clock, logger, memory, askIfThere, onFault: onFaultAbove }: Base): Clients {
  const health = new PeerHealth(clock)
  const onFault = (peer: PeerId): void => {
    health.fault(peer)
    onFaultAbove(peer)
  }
  const gets = new GetClient({ host, clock, onFault })
  const isThere = async (peer: PeerId): Promise<boolean> => {
    try {
      await withDeadline(clock, THERE_MS, undefined, signal => askIfThere(peer, signal))
      return true
    } catch (error) {
      logger.forComponent('dfs:blocks:put')('%s does not say that it is there: %s', peer, reasonOf(error))
      return false
    }
  }
  const silence = new SilenceWatch({ clock, isThere, pulledBytes: peer => memory.serves.takenBy(peer) })
  host.onPeer((event, peer) => {
    if (event === 'disconnected') silence.forget(peer)
  })
  const onAnswer = (peer: PeerId): void => silence.noteAnswer(peer)
  const storeClient = new StoreClient({ host, clock, logger, onFault, onAnswer })
  const prepare = (peer: PeerId): void => {
    gets.prepare(peer)
    storeClient.prepare(peer)
  }
  return { health, gets, storeClient, prepare, silence, uplink: new Uplink(clock), onFault }
}

/** Builds the parts that get a block from disk or from another member. */
export function composeFetching(base: Base, { local, keeps }: LocalStore, { health, gets }: Clients): Fetching {
  const { self, clock, logger, ranking, admitted, memory } = base
  const fetcher = new Fetcher({
    self,
    clock,
    logger,
    local,
    health,
    ranking,
    admitted,
    ask: (peer, cid, options) => gets.get(peer, cid, options),
    hedges: memory.hedges
  })
  const readNode: ReadNode = async cid => (await fetcher.fetch(cid)).bytes
  return { fetcher, puller: new BlockPuller({ fetcher, local, keeps, memory: memory.pulls }), readNode }
}

/** Builds the part that keeps blocks for other members' puts, and the part that promises and proves replicas. */
export function composeForOthers(
  base: Base,
  { claims, local, holds }: LocalStore,
  { puller }: Fetching,
  makeRoom: MakeRoom
): ForOthers {
  const { self, clock, logger, codec, mayStore, view, memory, receive } = base
  const shared = { clock, logger, codec, local, claims, puller, mayStore }
  const storesBlocks = (peer: PeerId): boolean =>
    view().members.some(member => member.peer === peer && member.weight > 0)
  const mayHold = (peer: PeerId): boolean => mayStore(peer) || storesBlocks(peer)
  const viewId = (): Uint8Array => view().id
  return {
    keeper: new Keeper({ ...shared, makeRoom, receive }),
    granter: new HoldGranter({ ...shared, self, holds, memory: memory.serves, mayHold, viewId })
  }
}

/** Begins to answer `/dfs/get` and `/dfs/store`. Blocks of a put under way are served from memory, out of `window`. */
export function serveProtocols(
  { host, clock, isAdmitted, codec, memory }: Base,
  { local, window }: { local: LocalBlocks; window: PutWindow },
  { storeClient, silence, uplink, onFault }: Clients,
  { keeper, granter }: ForOthers
): void {
  const nodeCodecs = [codec.code]
  const served = new ServedBlocks({ clock, memory: memory.serves, uplink, local, window })
  new GetServer({
    host,
    clock,
    isAdmitted,
    nodeCodecs,
    read: async (cid, signal, peer) => {
      storeClient.noteActivity(peer)
      silence.notePull(peer)
      return served.read(cid, signal, peer)
    },
    onFault
  })
  const keeping = {
    keepBlocks: keeper.keepBlocks.bind(keeper),
    keepRoot: keeper.keepRoot.bind(keeper),
    holdRoot: granter.holdRoot.bind(granter),
    giveUp: keeper.giveUp.bind(keeper)
  }
  new StoreServer({ host, clock, isAdmitted, nodeCodecs, keeping, onFault })
}

/** Builds the function that asks the members which copies of a file they hold now. */
export function composeCopies(
  { self, clock, logger, codec, ranking, admitted, view }: Base,
  local: LocalBlocks,
  storeClient: StoreClient,
  readNode: ReadNode
): (root: BlockCid, replicas: number) => Promise<ConfirmedCopies> {
  const viewId = (): Uint8Array => view().id
  const ports = { self, clock, logger, codec, ranking, admitted, viewId, local, storeClient, readNode }
  return (root, replicas) => confirmedCopies(root, replicas, ports)
}

/** Builds the part that asks members until they confirm the copies that they still owe for our puts. */
export function composeHandoff(
  base: Base,
  { claims }: LocalStore,
  storeClient: StoreClient,
  readNode: ReadNode
): HintedHandoff {
  const { self, clock, logger, codec, store, ranking, admitted, holders, view, onError } = base
  return new HintedHandoff({
    self,
    clock,
    logger,
    codec,
    index: store.index,
    storeClient,
    ranking,
    admitted,
    holders,
    viewId: () => view().id,
    readNode,
    isReleased: record => claims.isReleased(record),
    onError
  })
}

/** Builds the part that stores files here and on other members. */
export function composePuts(
  base: Base,
  { local, keeps, window }: Pick<LocalStore, 'local' | 'keeps'> & { window: PutWindow },
  { clients, fetching, keeper, abandon, makeRoom }: PutParts
): Puts {
  const { self, clock, chance, logger, codec, ranking, admitted, push, announce, onAdded, memory } = base
  const { storeClient, silence, uplink, health } = clients
  const shared = {
    self,
    clock,
    chance,
    logs: putLogs(logger),
    codec,
    local,
    keeps,
    window,
    memory: memory.puts,
    storeClient,
    silence,
    uplink
  }
  const isAvoided = (peer: PeerId): boolean =>
    health.isAvoided(peer) || silence.isGone(peer) || storeClient.isBehind(peer)
  const hasAll = keeper.hasAll.bind(keeper)
  const endWithRecord = keeper.endWithRecord.bind(keeper)
  const { puller, readNode } = fetching
  const records = { push, announce, onAdded, hasAll, endWithRecord }
  return new Puts({ ...shared, ...records, ranking, admitted, isAvoided, puller, readNode, abandon, makeRoom })
}

export interface PutParts {
  clients: Clients
  fetching: Fetching
  keeper: Keeper
  /** Lets the claims of a put of ours end soon. */
  abandon: (put: PutId) => void
  makeRoom: MakeRoom
}
