import type { NodeOptions } from '../../api.ts'
import { DurableBlockstore } from '../../disk/blockstore.ts'
import { Capacity, folderBytes } from '../../disk/capacity.ts'
import { DiskMonitor } from '../../disk/disk-monitor.ts'
import { readCursor } from '../../disk/index-cursor.ts'
import { IndexDb } from '../../disk/index-db.ts'
import type { DiskState } from '../../disk/monitored-files.ts'
import { Reserve } from '../../disk/reserve.ts'
import { LARGE_ROWS } from '../../disk/segment-layout.ts'
import { Segments } from '../../disk/segments.ts'
import { type OpenReport, Store } from '../../disk/store.ts'
import { closeAll } from '../../util/close-all.ts'
import { INDEX_FOLDER } from '../platform.ts'
import type { RoomOptions } from './options.ts'

/** Everything that this member has on its disk. */
export interface DiskRoom {
  files: RoomOptions['files']
  index: IndexDb
  reserve: Reserve
  store: Store
  capacity: Capacity
  monitor: DiskMonitor
  blockstore: NonNullable<NodeOptions['blockstore']>
  /** Opens everything, replays the rows that the index lacks, and counts the bytes that the disk holds. */
  start(): Promise<OpenReport>
  stop(): Promise<void>
}

export function buildDisk(init: RoomOptions): DiskRoom {
  const { options, files, platform, storeId, clock, chance, logger, onEvent, onDoubt } = init
  const index = new IndexDb(platform.database(), logger)
  index.onCorrupt = onDoubt
  const reserve = new Reserve({ files, chance, logger })
  const segments = new Segments({ files, storeId, logger })
  const largeSegments = new Segments({ files, storeId, logger, kind: LARGE_ROWS })
  const makeRoom = (): Promise<boolean> => reserve.release()
  const onDamage = (): void => onEvent({ event: 'damaged', rows: 1 })
  const store = new Store({ segments, largeSegments, index, storeId, logger, onDamage, makeRoom })
  const capacity = new Capacity({
    files,
    clock,
    capacityBytes: options.capacityBytes ?? init.measuredBytes,
    rowBytes: () => store.rowBytes,
    keepFreeBytes: () => reserve.missingBytes,
    indexBytes: () => folderBytes(files, INDEX_FOLDER)
  })
  const onChange = (state: DiskState): void => onEvent({ event: 'disk', state })
  const monitor = new DiskMonitor({ files, capacity, index, logger, onChange })
  const durable = new DurableBlockstore(store, capacity, logger)
  return {
    files,
    index,
    reserve,
    store,
    capacity,
    monitor,
    blockstore: options.blockstore ?? durable,
    start: async () => {
      await index.open()
      try {
        await reserve.look()
        await capacity.measure()
        await segments.open()
        await largeSegments.open(await readCursor(index, LARGE_ROWS))
        const report = await store.open()
        await capacity.measureAll()
        return report
      } catch (error) {
        await closeAll([() => segments.close(), () => largeSegments.close(), () => index.close()]).catch(() => {
          // The first error is the one to report, not this one.
        })
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
