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
import { defaultNodeCodec } from '../format/manifest.ts'
import { peerIdOf } from '../format/peer-id.ts'
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
import { debugLogger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { Libp2pHost } from '../wire/libp2p-host.ts'

/** Everything that lives and dies together: the rooms of one node, wired. */
export interface Stack {
  fs: FsContext
  files: Files
  host: Libp2pHost
  store: Store
  capacity: Capacity
  disk: DiskMonitor
  projection: CatalogProjection
  /** What runs in the background. */
  workers: readonly Worker[]
  /** What opening the store found. */
  report: OpenReport
  /** Ends it. May be called again. */
  stop(): Promise<void>
}

export interface StackOptions {
  options: NodeOptions
  files: Files & Pick<MonitoredFiles, 'state'>
  secrets: Secrets
  storeId: Uint8Array
  /** The directory was made by this start: in any other, what is not there has been lost. */
  isNew: boolean
  listen: readonly string[]
  clock: Clock
  chance: Chance
  defaults: FsContext['defaults']
  onEvent: (event: NodeEvent) => void
  /** The index is in doubt: this stack is to be stopped, the index removed, and another stack started. */
  onDoubt: (error: IndexCorruptError) => void
}

const INDEX_FOLDER = 'index'
/** How often the state of being full is looked at. */
const CAPACITY_INTERVAL_MS = 10_000

/**
 * Builds the rooms from the lowest up, brings the index up to date, and starts them. Rooms that need to ask one above
 * them are given a question to ask; here is where it is answered. Throws an `IndexCorruptError` if the index must be
 * removed first.
 */
export async function startStack(init: StackOptions): Promise<Stack> {
  const { options, files, secrets, storeId, isNew, listen, clock, chance, defaults, onEvent, onDoubt } = init
  const codec = options.codec ?? defaultNodeCodec
  const logger = options.logger ?? debugLogger
  const nodeCodecs = [codec.code]
  const outAfterMs = options.outAfterMs ?? OUT_AFTER_MS
  const closers: Array<() => unknown> = []
  const stop = (): Promise<void> => closeAll(closers.splice(0).reverse())
  const capacity = new Capacity({ files, clock, capacityBytes: options.capacityBytes })
  const disk = new DiskMonitor({ files, capacity, logger, onChange: state => onEvent({ event: 'disk', state }) })
  const report = (task: string) => (error: unknown) => {
    if (isAbort(error)) return
    disk.update()
    // Of a disk that is full, or takes nothing, every write fails: that it is so has been said.
    if (error instanceof NoSpaceError || error instanceof ReadOnlyError) return
    onEvent({ event: 'failed', code: codeOf(error), task })
  }
  try {
    // disk
    const level = new ClassicLevel<Uint8Array, Uint8Array>(join(options.dataDir, INDEX_FOLDER), {
      keyEncoding: 'view',
      valueEncoding: 'view'
    })
    const index = new IndexDb(level as unknown as Database, logger)
    index.onCorrupt = onDoubt
    await index.open()
    closers.push(() => index.close())
    const segments = new Segments({ files, storeId, logger })
    const store = new Store({
      segments,
      index,
      storeId,
      logger,
      onDamage: () => onEvent({ event: 'damaged', rows: 1 })
    })
    const blockFiles = new BlockFiles(files, chance, logger)
    const durable = new DurableBlockstore(store, blockFiles, capacity, logger)
    const blockstore = options.blockstore ?? durable

    // log, members
    const self = new LocalMember(secrets, clock, chance)
    const keys = new KeyRing(secrets.epochs)
    const host = await Libp2pHost.create({
      deviceSeed: secrets.device,
      listen,
      announce: options.announce,
      mdns: options.mdns ?? true,
      transports: options.transports
    })
    const log = new Log({ store, clock, network: secrets.network })
    const roster = new Roster(secrets.network)
    log.authorizer = roster
    const statuses = new Statuses({
      roster,
      clock,
      outAfterMs,
      markDead: items => store.markDead(items.map(({ place }) => place))
    })
    const onFault = (peer: string): void => {
      blocks.onFault(peer)
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
      bootstrap: options.bootstrap ?? [],
      outAfterMs,
      capacity: () => ({ weight: capacity.capacityBytes, isFull: capacity.isFull }),
      onFault
    })
    const sync = new Sync({
      host,
      log,
      clock,
      isAdmitted: peer => members.isAdmitted(peer),
      admitted: () => members.admitted,
      holdsPut: (statement, put, from) => blocks.holdsPut(statement, put, from),
      onFault,
      onClockOff: () => void members.measureClocks()
    })

    // blocks
    let mustCompare = false
    const blocks = new Blocks({
      host,
      store,
      blockstore,
      clock,
      chance,
      codec,
      self: self.peerId,
      isAdmitted: peer => members.isAdmitted(peer),
      admitted: () => members.admitted,
      mayStore: peer => {
        const role = members.member(peer)?.role
        return role === 'admin' || role === 'writer'
      },
      view: () => members.view,
      push: (peer, statement, put) => sync.push(peer, statement, put),
      announce: (statement, except) => sync.announce([statement], except),
      records: () => allRecords(log, nodeCodecs),
      mayFree: () => !members.isClockOff && (!mustCompare || members.compared.size === members.all.length - 1),
      onFault: peer => onEvent({ event: 'fault', peerId: peer }),
      onBadBlock: error => onEvent({ event: 'bad-block', isDamaged: error.code === 'corrupt' }),
      onError: report('blocks')
    })

    // catalog
    const bodies = new Bodies(log, keys)
    const names = new Names(secrets.names)
    // Until epochs can follow one another all content is sealed in the first.
    const depthOf = (): number => 0
    const projection = new CatalogProjection({
      index,
      log,
      bodies,
      names,
      clock,
      nodeCodecs,
      depthOf,
      onRecords: records => blocks.enqueue(records.flatMap(refOf))
    })
    log.register(roster)
    log.register(statuses)
    log.register(projection)
    const tree = new Tree({ index, bodies, names, clock, depthOf, hasDeleted: () => projection.hasDeleted })
    const author = new Author({ self, keys, chance, bodies, nodeCodecs })
    const catalog = new Catalog({
      log,
      tree,
      bodies,
      author,
      self,
      clock,
      chance,
      assertMayWrite: () => members.assertMayWrite()
    })

    // From here on things run, the lowest first; they end in the opposite order.
    await capacity.measure()
    if (options.blockstore === undefined) await blockFiles.open()
    await segments.open()
    const opened = await store.open()
    // Closes the index too; should it not get so far, that is closed all the same.
    closers.push(() => store.close())
    mustCompare = opened.rebuilt && !isNew
    if (options.blockstore === undefined) for await (const { bytes } of durable.all()) capacity.countExisting(bytes)
    await projection.look()
    await members.load()
    members.on(({ event, ...rest }) => {
      if (event === 'admitted' || event === 'compared') blocks.retry()
      if (event !== 'compared') onEvent({ event, peerId: rest.peer })
    })
    statuses.onView(() => blocks.retry())
    await host.start()
    closers.push(() => host.stop())
    await blocks.start({ wasClean: opened.wasClean || isNew })
    closers.push(() => blocks.stop())
    await members.start(sync)
    closers.push(() => sync.stop())
    closers.push(() => members.stop())
    const workers = [
      compactor({ store, clock, logger, onError: report('compaction') }),
      leafCheck({ store, clock, logger, onError: report('leaf check') }),
      new Worker({
        name: 'capacity',
        clock,
        log: logger.forComponent('dfs:node:capacity'),
        everyMs: CAPACITY_INTERVAL_MS,
        onError: report('capacity'),
        work: async () => {
          await capacity.measure()
          disk.update()
          await members.announceIfChanged()
        }
      })
    ]
    for (const worker of workers) {
      worker.start()
      closers.push(() => worker.stop())
    }

    const fs: FsContext = { catalog, tree, author, blocks, members, sync, codec, clock, defaults }
    return { fs, files, host, store, capacity, disk, projection, workers, report: opened, stop }
  } catch (error) {
    await stop().catch(() => {})
    throw error
  }
}

/** Ends things in order, all of them whatever one meets, and throws what the first that failed threw. */
export async function closeAll(closers: ReadonlyArray<() => unknown>): Promise<void> {
  const failures: unknown[] = []
  for (const close of closers) {
    try {
      await close()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

/** Removes the index: what it held is found again in segments and blocks. */
export async function removeIndex(files: Files): Promise<void> {
  await files.removeDirectory(INDEX_FOLDER)
}

async function* allRecords(log: Log, nodeCodecs: readonly number[]): AsyncGenerator<RecordRef> {
  for await (const { statement, author } of log.all(1)) {
    if (statement.kind === 'entry') yield* refOf(readRecord(statement as Statement<'entry'>, author, nodeCodecs))
  }
}

/** What the blocks room is told of a record; nothing if it has no blocks. */
function refOf(record: EntryRecord): RecordRef[] {
  const root = cidOf(record)
  if (root === undefined) return []
  return [{ id: record.id, root, replicas: wantedCopies(record.replicas), author: peerIdOf(record.stamp.author) }]
}
