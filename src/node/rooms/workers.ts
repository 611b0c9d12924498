import { compactor } from '../../disk/compactor.ts'
import { eraser } from '../../disk/eraser.ts'
import { indexCompactor } from '../../disk/index-compactor.ts'
import { indexReopener } from '../../disk/index-reopener.ts'
import { leafCheck } from '../../disk/leaf-check.ts'
import { Worker } from '../../util/worker.ts'
import type { DiskRoom } from './disk.ts'
import { failureReporter } from './failures.ts'
import type { Membership } from './membership.ts'
import type { RoomOptions } from './options.ts'

/** How often the node checks whether its network interfaces have changed. */
const INTERFACES_INTERVAL_MS = 10_000
/** How often the node checks whether it is full. */
const CAPACITY_INTERVAL_MS = 10_000

interface RoomsBelow {
  disk: DiskRoom
  membership: Membership
}

/**
 * Builds the workers of the disk room and those that concern several rooms. The other rooms have workers of their own.
 */
export function buildWorkers({ clock, logger, onEvent }: RoomOptions, { disk, membership }: RoomsBelow): Worker[] {
  const { store, index, files, reserve, capacity, monitor } = disk
  const onError = (task: string) => failureReporter(task, monitor, onEvent)
  const reopener = indexReopener({ store, index, files, reserve, clock, logger, onError: onError('index reopen') })
  index.onFailed = () => {
    reopener.schedule()
    monitor.update()
  }
  const isShort = (): boolean => capacity.isFull || store.diskBytes > capacity.capacityBytes
  return [
    reopener,
    compactor({ store, isShort, clock, logger, onError: onError('compaction') }),
    eraser({ store, clock, logger, onError: onError('erasure') }),
    indexCompactor({
      index,
      indexBytes: () => capacity.indexBytes,
      clock,
      logger,
      onError: onError('index compaction')
    }),
    leafCheck({ store, clock, logger, onError: onError('leaf check') }),
    membership.log.worker,
    new Worker({
      name: 'local network',
      clock,
      log: logger.forComponent('dfs:wire:host'),
      everyMs: INTERFACES_INTERVAL_MS,
      work: () => membership.host.refreshDiscovery()
    }),
    new Worker({
      name: 'capacity',
      clock,
      log: logger.forComponent('dfs:node:capacity'),
      everyMs: CAPACITY_INTERVAL_MS,
      onError: onError('capacity'),
      work: async () => {
        await capacity.measureAll()
        monitor.update()
        await membership.members.announceIfChanged()
        await reserve.fill()
      }
    })
  ]
}
