import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import type { NodeEvent, NodeOptions } from '../api.ts'
import { Blocks } from '../blocks/blocks.ts'
import type { RecordRef } from '../blocks/record-ref.ts'
import { Author } from '../catalog/author.ts'
import { Bodies } from '../catalog/bodies.ts'
import { Catalog } from '../catalog/catalog.ts'
import { Names } from '../catalog/names.ts'
import { CatalogProjection, cidOf } from '../catalog/projection.ts'
import { Tree } from '../catalog/tree.ts'
import { BlockFiles } from '../disk/block-files.ts'
import { DurableBlockstore } from '../disk/blockstore.ts'
import { Capacity } from '../disk/capacity.ts'
import { compactor } from '../disk/compactor.ts'
import { DiskMonitor } from '../disk/disk-monitor.ts'
import { type IndexCorruptError, NoSpaceError, ReadOnlyError } from '../disk/errors.ts'
import type { Files } from '../disk/files.ts'
import { type Database, IndexDb } from '../disk/index-db.ts'
import type { Secrets } from '../disk/keystore.ts'
import { leafCheck } from '../disk/leaf-check.ts'
import type { MonitoredFiles } from '../disk/monitored-files.ts'
import { Segments } from '../disk/segments.ts'
import { type OpenReport, Store } from '../disk/store.ts'
import { type EntryRecord, readRecord } from '../format/entry.ts'
import { defaultNodeCodec, type NodeCodec } from '../format/manifest.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import type { Statement } from '../format/statement.ts'
import { type FsContext, wantedCopies } from '../fs/context.ts'
import { Log } from '../log/log.ts'
import { Sync } from '../log/sync.ts'
import { OUT_AFTER_MS } from '../members/constants.ts'
import { KeyRing } from '../members/key-ring.ts'
import { LocalMember } from '../members/local-member.ts'
import { Members } from '../members/members.ts'
import { Roster } from '../members/roster.ts'
import { Statuses } from '../members/statuses.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { codeOf, isAbort } from '../util/errors.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { Libp2pHost } from '../wire/libp2p-host.ts'

/**
 * The composition root: the one file that names the concrete classes, with one function a room, from the lowest up. Here
 * nothing runs yet; `stack.ts` starts and stops what is built here.
 *
 * A room knows only those below it. What has to go up, news ("a peer sent nonsense") and questions ("may this peer ask?"),
 * is a function that looks the higher room up in `Rooms` when it is called. None is called before all rooms are built.
 */
export interface Rooms {
  disk: DiskRoom
  membership: Membership
  blocks: Blocks
  catalog: CatalogRoom
  /** Periodic work that concerns several rooms, or the disk. */
  workers: readonly Worker[]
}

export interface RoomOptions {
  options: NodeOptions
  files: Files & Pick<MonitoredFiles, 'state'>
  secrets: Secrets
  storeId: Uint8Array
  listen: readonly string[]
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  onEvent: (event: NodeEvent) => void
  /** The index is in doubt: this stack must be stopped, the index removed, and another stack started. */
  onDoubt: (error: IndexCorruptError) => void
  /** Whether all that is needed here is known. While it is not, nothing is freed. */
  mayFree: () => boolean
}

export interface DiskRoom {
  index: IndexDb
  store: Store
  capacity: Capacity
  monitor: DiskMonitor
  blockstore: NonNullable<NodeOptions['blockstore']>
  /** Opens everything, replays what the index lacks, and counts what the disk holds. */
  start(): Promise<OpenReport>
  stop(): Promise<void>
}

export interface Membership {
  host: Libp2pHost
  log: Log
  self: LocalMember
  keys: KeyRing
  members: Members
  statuses: Statuses
  sync: Sync
}

export interface CatalogRoom {
  projection: CatalogProjection
  tree: Tree
  author: Author
  catalog: Catalog
}

/** How often the node looks whether it is full. */
const CAPACITY_INTERVAL_MS = 10_000

/** The path of the index inside the data directory. */
export const INDEX_FOLDER = 'index'

/** Builds every room. Nothing has been started when it resolves. */
export async function buildRooms(init: RoomOptions): Promise<Rooms> {
  const rooms = {} as Rooms
  rooms.disk = buildDisk(init)
  rooms.membership = await buildMembership(init, rooms)
  rooms.blocks = buildBlocks(init, rooms)
  rooms.catalog = buildCatalog(init, rooms)
  rooms.workers = buildWorkers(init, rooms)
  return rooms
}

export function codecOf({ options }: RoomOptions): NodeCodec {
  return options.codec ?? defaultNodeCodec
}

function buildDisk({ options, files, storeId, clock, chance, logger, onEvent, onDoubt }: RoomOptions): DiskRoom {
  const level = new ClassicLevel<Uint8Array, Uint8Array>(join(options.dataDir, INDEX_FOLDER), {
    keyEncoding: 'view',
    valueEncoding: 'view'
  })
  const index = new IndexDb(level as unknown as Database, logger)
  index.onCorrupt = onDoubt
  const capacity = new Capacity({ files, clock, capacityBytes: options.capacityBytes })
  const monitor = new DiskMonitor({ files, capacity, logger, onChange: state => onEvent({ event: 'disk', state }) })
  const segments = new Segments({ files, storeId, logger })
  const store = new Store({ segments, index, storeId, logger, onDamage: () => onEvent({ event: 'damaged', rows: 1 }) })
  const blockFiles = new BlockFiles(files, chance, logger)
  const durable = new DurableBlockstore(store, blockFiles, capacity, logger)
  const isOwn = options.blockstore === undefined
  return {
    index,
    store,
    capacity,
    monitor,
    blockstore: options.blockstore ?? durable,
    start: async () => {
      await index.open()
      try {
        await capacity.measure()
        if (isOwn) await blockFiles.open()
        await segments.open()
        const report = await store.open()
        if (isOwn) for await (const { bytes } of durable.all()) capacity.countExisting(bytes)
        return report
      } catch (error) {
        await index.close()
        throw error
      }
    },
    stop: async () => {
      try {
        await store.close()
      } finally {
        // The store closes its index last, and may fail before it gets there.
        await index.close()
      }
    }
  }
}

async function buildMembership(init: RoomOptions, rooms: Rooms): Promise<Membership> {
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
    holdsPut: (statement, put, from) => rooms.blocks.holdsPut(statement, put, from),
    onFault,
    onClockOff: () => members.askForTime()
  })
  log.register(roster)
  log.register(statuses)
  return { host, log, self, keys: new KeyRing(secrets.epochs), members, statuses, sync }
}

function buildBlocks(init: RoomOptions, rooms: Rooms): Blocks {
  const { clock, chance, logger, onEvent, mayFree } = init
  const { store, blockstore, monitor } = rooms.disk
  const { host, log, self, members, sync } = rooms.membership
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
    announce: (statement, except) => sync.announce([statement], except),
    records: () => allRecords(log, [codec.code]),
    mayFree,
    onFault: peer => onEvent({ event: 'fault', peerId: peer }),
    onBadBlock: error => onEvent({ event: 'bad-block', isDamaged: error.code === 'corrupt' }),
    onError: failureReporter('blocks', monitor, onEvent)
  })
}

function buildCatalog(init: RoomOptions, rooms: Rooms): CatalogRoom {
  const { secrets, clock, chance, logger } = init
  const { index } = rooms.disk
  const { log, self, keys, members } = rooms.membership
  const nodeCodecs = [codecOf(init).code]
  const bodies = new Bodies(log, keys, logger)
  const names = new Names(secrets.names)
  // Until epochs can follow one another all content is sealed in the first.
  const depthOf = (): number => 0
  const projection = new CatalogProjection({
    index,
    log,
    bodies,
    names,
    clock,
    logger,
    nodeCodecs,
    depthOf,
    onRecords: records => rooms.blocks.enqueue(records.flatMap(refOf))
  })
  log.register(projection)
  const tree = new Tree({ index, bodies, names, clock, depthOf, hasDeleted: () => projection.hasDeleted })
  const author = new Author({ self, keys, chance, bodies, nodeCodecs })
  const assertMayWrite = (): void => members.assertMayWrite()
  const catalog = new Catalog({ log, tree, bodies, author, self, clock, chance, logger, assertMayWrite })
  return { projection, tree, author, catalog }
}

function buildWorkers({ clock, logger, onEvent }: RoomOptions, { disk, membership }: Rooms): Worker[] {
  const { store, capacity, monitor } = disk
  const onError = (task: string) => failureReporter(task, monitor, onEvent)
  return [
    compactor({ store, clock, logger, onError: onError('compaction') }),
    leafCheck({ store, clock, logger, onError: onError('leaf check') }),
    new Worker({
      name: 'capacity',
      clock,
      log: logger.forComponent('dfs:node:capacity'),
      everyMs: CAPACITY_INTERVAL_MS,
      onError: onError('capacity'),
      work: async () => {
        await capacity.measure()
        monitor.update()
        await membership.members.announceIfChanged()
      }
    })
  ]
}

/** Makes an event of what background work failed with. */
function failureReporter(
  task: string,
  monitor: DiskMonitor,
  onEvent: (event: NodeEvent) => void
): (error: unknown) => void {
  return error => {
    if (isAbort(error)) return
    monitor.update()
    // Every write to a full or read-only disk fails, and the monitor has said that it is full or read-only.
    if (error instanceof NoSpaceError || error instanceof ReadOnlyError) return
    onEvent({ event: 'failed', code: codeOf(error), task })
  }
}

async function* allRecords(log: Log, nodeCodecs: readonly number[]): AsyncGenerator<RecordRef> {
  for await (const { statement, author } of log.all(1)) {
    if (statement.kind === 'entry') yield* refOf(readRecord(statement as Statement<'entry'>, author, nodeCodecs))
  }
}

/** What the blocks room needs to know of a record; nothing if it has no blocks. */
function refOf(record: EntryRecord): RecordRef[] {
  const root = cidOf(record)
  if (root === undefined) return []
  return [{ id: record.id, root, replicas: wantedCopies(record.replicas), author: peerIdOf(record.stamp.author) }]
}

/** What the verbs of `fs/` stand on. */
export function fsContextOf(init: RoomOptions, rooms: Rooms, defaults: FsContext['defaults']): FsContext {
  const { membership, blocks, catalog: room } = rooms
  const { members, sync } = membership
  const { catalog, tree, author } = room
  const { clock, logger } = init
  return { catalog, tree, author, blocks, members, sync, codec: codecOf(init), clock, logger, defaults }
}
