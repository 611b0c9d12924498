import type { Blocks } from '../../blocks/blocks.ts'
import type { ChunkerName } from '../../format/constants.ts'
import type { FsContext } from '../../fs/context.ts'
import { SmallFiles } from '../../fs/small-files.ts'
import type { Worker } from '../../util/worker.ts'
import { buildBlocks } from './blocks.ts'
import { buildCatalog, type CatalogRoom } from './catalog.ts'
import { buildDisk, type DiskRoom } from './disk.ts'
import { buildMembership, type Membership } from './membership.ts'
import { codecOf, type RoomOptions } from './options.ts'
import { buildWorkers } from './workers.ts'

/**
 * The rooms of one node. This folder is the composition root: the only place that names the concrete classes, with one
 * function for each room. Nothing runs here yet. `stack.ts` starts and stops what is built here.
 *
 * A room imports only from those below it. For news that has to go up ("a peer sent nonsense") and for questions to a
 * higher room ("may this peer ask?"), each room is given a function here. The function looks up the higher room when it
 * is called, because that room is built later. No such function is called before all rooms are built.
 */
export interface Rooms {
  disk: DiskRoom
  membership: Membership
  blocks: Blocks
  catalog: CatalogRoom
  workers: readonly Worker[]
}

/** Builds every room, from the lowest up. When this resolves, nothing has been started. */
export async function buildRooms(init: RoomOptions): Promise<Rooms> {
  const rooms = {} as Rooms
  rooms.disk = buildDisk(init)
  rooms.membership = await buildMembership(init, rooms)
  rooms.blocks = buildBlocks(init, rooms)
  rooms.catalog = buildCatalog(init, rooms)
  const { sealed, retention } = rooms.catalog
  rooms.workers = [...buildWorkers(init, rooms), sealed.worker, retention.worker, rooms.membership.keyReceiver.worker]
  return rooms
}

/**
 * What the owner of this node asks for when it puts files: the numbers of copies, and how files are cut. Where a value is
 * undefined, the settings of the network decide. `Infinity` means every member.
 */
export interface OwnDefaults {
  replicas: number | undefined
  ack: number | undefined
  chunker: ChunkerName | undefined
}

/** Returns the rooms in the form in which the verbs of `fs/` use them. */
export function fsContextOf(
  init: RoomOptions,
  rooms: Rooms,
  { own, lastSeen }: Pick<FsContext, 'lastSeen'> & { own: OwnDefaults }
): FsContext {
  const { disk: diskRoom, membership, blocks, catalog: room } = rooms
  const { members, sync, settings } = membership
  const { catalog, tree, feed, past, author, bodies } = room
  const { clock, logger } = init
  // The settings of the network may change while this node runs.
  const defaults: FsContext['defaults'] = {
    get replicas() {
      return own.replicas ?? settings.replicas
    },
    get ack() {
      return own.ack ?? settings.ack
    },
    get chunker() {
      return own.chunker ?? settings.chunker
    }
  }
  const disk = (): ReturnType<FsContext['disk']> => {
    const { usedBytes: used, capacityBytes: capacity, roomBytes: free } = diskRoom.capacity
    return { used, capacity, free }
  }
  const small = new SmallFiles({ catalog, author, blocks, members, sync, clock, logger, lastSeen })
  const putSmall: FsContext['putSmall'] = (file, options) => small.put(file, options)
  const parts = {
    catalog,
    tree,
    feed,
    past,
    author,
    blocks,
    members,
    sync,
    putSmall,
    codec: codecOf(init),
    clock,
    logger
  }
  return { ...parts, entryOf: record => bodies.entryOf(record), disk, defaults, lastSeen }
}
