import type { NodeEvent, NodeOptions } from '../../api.ts'
import type { IndexCorruptError } from '../../disk/errors.ts'
import type { Files } from '../../disk/files.ts'
import type { KeepSecrets, Secrets } from '../../disk/keystore.ts'
import type { MonitoredFiles } from '../../disk/monitored-files.ts'
import { defaultNodeCodec, type NodeCodec } from '../../format/manifest.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import type { ComponentLogger } from '../../util/logger.ts'
import type { Platform } from '../platform.ts'

export interface RoomOptions {
  options: NodeOptions
  files: Files & Pick<MonitoredFiles, 'state'>
  platform: Platform
  secrets: Secrets
  /** Changes the secrets in the keystore. `secrets` stay as they were at the start of the stack. */
  keep: KeepSecrets
  storeId: Uint8Array
  /** Addresses at which members answer, besides those that the owner gave. */
  entryAddresses: readonly string[]
  /** The number of bytes that this node may hold, computed from the free space at its first start. */
  measuredBytes: number | undefined
  listen: readonly string[]
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  onEvent: (event: NodeEvent) => void
  /**
   * Called when the index can no longer be trusted. The owner must then stop this stack, remove the index and start
   * another stack.
   */
  onDoubt: (error: IndexCorruptError) => void
  /**
   * Returns true if blocks may be freed. They are kept as long as there may be records that need them and that have not
   * reached this member.
   */
  mayFree: () => boolean
}

export function codecOf({ options }: RoomOptions): NodeCodec {
  return options.codec ?? defaultNodeCodec
}
