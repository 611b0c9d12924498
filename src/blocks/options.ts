import type { Store } from '../disk/store.ts'
import type { NodeCodec } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { View } from '../members/view.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import type { Host } from '../wire/host.ts'
import type { BlockCorruptError, BlockUnreadableError } from './errors.ts'
import type { BlockPort } from './hold/local-blocks.ts'
import type { AcknowledgementDeps } from './put/acknowledgement.ts'
import type { RecordRef } from './record-ref.ts'

/** The needs of the blocks room: ports, answers about members and records, and callbacks for faults and errors. */
export interface BlocksOptions {
  host: Host
  store: Store
  blockstore: BlockPort
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  codec: NodeCodec
  self: PeerId
  /** Whether a peer may ask us. */
  isAdmitted: (peer: PeerId) => boolean
  /** Members that may be asked now. */
  admitted: () => PeerId[]
  /** Whether a peer may have us store bytes. */
  mayStore: (peer: PeerId) => boolean
  view: () => View
  push: AcknowledgementDeps['push']
  announce: AcknowledgementDeps['announce']
  /** Lists every record that has blocks. */
  records: () => AsyncIterable<RecordRef>
  /** False while it is not certain which blocks are needed: nothing is freed then. */
  mayFree: () => boolean
  /** Called with a peer that sent something wrong, or was silent while we waited for it. */
  onFault: (peer: PeerId) => void
  /** Called once for each block on our own disk that is damaged or cannot be read, as far as these are remembered. */
  onBadBlock: (error: BlockCorruptError | BlockUnreadableError) => void
  onError: (error: unknown) => void
}
