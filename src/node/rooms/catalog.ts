import type { Blocks } from '../../blocks/blocks.ts'
import { Author } from '../../catalog/author.ts'
import { Bodies } from '../../catalog/bodies.ts'
import { Catalog } from '../../catalog/catalog.ts'
import { ChangeFeed } from '../../catalog/feed/change-feed.ts'
import { Names } from '../../catalog/names.ts'
import { Past } from '../../catalog/past/past.ts'
import { CatalogProjection } from '../../catalog/projection.ts'
import { SealedEntries } from '../../catalog/sealed-entries.ts'
import { Tree } from '../../catalog/tree.ts'
import { Retention } from '../../catalog/versions/retention.ts'
import { Versions } from '../../catalog/versions/versions.ts'
import type { DiskRoom } from './disk.ts'
import { failureReporter } from './failures.ts'
import type { Membership } from './membership.ts'
import { codecOf, type RoomOptions } from './options.ts'
import { refOf } from './records.ts'

/** The files and directories that exist according to the records. */
export interface CatalogRoom {
  bodies: Bodies
  tree: Tree
  feed: ChangeFeed
  past: Past
  author: Author
  catalog: Catalog
  sealed: SealedEntries
  retention: Retention
}

interface RoomsBelow {
  disk: DiskRoom
  membership: Membership
  blocks: Blocks
}

export function buildCatalog(init: RoomOptions, { disk, membership, blocks }: RoomsBelow): CatalogRoom {
  const { secrets, clock, chance, logger } = init
  const { index } = disk
  const { log, self, keys, epochs, members, settings } = membership
  const nodeCodecs = [codecOf(init).code]
  const bodies = new Bodies(log, keys, logger)
  const names = new Names(secrets.names)
  // An epoch whose place is not known counts as the first.
  const depthOf = (epoch: Uint8Array): number => epochs.depthOf(epoch) ?? 0
  const feed = new ChangeFeed({ index, names, bodies, log, clock, chance, depthOf })
  const projection = new CatalogProjection({
    index,
    bodies,
    names,
    logger,
    nodeCodecs,
    isSettled: record => blocks.isSettled(record),
    onRecords: records => {
      feed.wake()
      blocks.enqueue(records.flatMap(refOf))
    },
    onVersionNews: () => retention.noteNews()
  })
  log.register(projection)
  const tree = new Tree({ index, bodies, names, clock, depthOf })
  const sealed = new SealedEntries({ index, log, keys, clock, chance, logger, onOpened: () => feed.wake() })
  const author = new Author({ self, keys, chance, bodies, nodeCodecs })
  const assertMayWrite = (): void => members.assertMayWrite()
  const assertRoom = async (): Promise<void> => {
    await log.quotas.assertMayGrow(self.grant.id)
    await blocks.withRoom(() => disk.capacity.assertRoom())
  }
  const keptMs = (): number => settings.versionsKeptMs
  const retention = new Retention({
    index,
    log,
    clock,
    logger,
    depthOf,
    keptMs,
    isClockRight: () => !members.clocks.isOff,
    onReleased: () => blocks.freeing.wake(),
    onError: failureReporter('file versions', disk.monitor, init.onEvent)
  })
  const versions = new Versions({ index, keptMs, clock })
  const past = new Past({ index, tree, bodies, names, log, kept: versions, nodeCodecs })
  const parts = { assertRoom, log, tree, bodies, author, self, clock, chance, logger, assertMayWrite, versions }
  return { bodies, tree, feed, past, author, catalog: new Catalog(parts), sealed, retention }
}
