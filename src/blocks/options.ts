import type { Store } from '../disk/store.ts'
import type { NodeCodec } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { View } from '../members/view.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import type { Host } from '../wire/host.ts'
import type { BlockCorruptError, BlockUnreadableError } from './errors.ts'
import type { BlockPort } from './hold/block-port.ts'
import type { ReceiveRecords } from './keep/add-files.ts'
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
  /** Returns true if a peer may send us requests. */
  isAdmitted: (peer: PeerId) => boolean
  /** Returns the members that may be asked now. */
  admitted: () => readonly PeerId[]
  /** Returns true if a peer may ask us to store bytes. */
  mayStore: (peer: PeerId) => boolean
  view: () => View
  push: AcknowledgementDeps['push']
  announce: AcknowledgementDeps['announce']
  onAdded: AcknowledgementDeps['onAdded']
  receive: ReceiveRecords
  /** Resolves once a member has answered the question whether it is there. Rejects if it fails to. */
  askIfThere: (peer: PeerId, signal: AbortSignal) => Promise<void>
  /** Asks the members that can be reached which of them have a record, and returns those. */
  holders: (record: Uint8Array) => Promise<PeerId[]>
  /** Yields every record that has blocks and whose id is greater than `after`, in the order of the ids. */
  records: (after: Uint8Array) => AsyncIterable<RecordRef>
  /** Returns which of these records the log has. */
  knows: (records: readonly Uint8Array[]) => Promise<boolean[]>
  /** Yields the records that the log has set aside. */
  asides: () => AsyncIterable<RecordRef>
  /** Returns false while it is not certain which blocks are needed. During that time nothing is freed. */
  mayFree: () => boolean
  /** Called with a peer that sent something wrong, or was silent while we waited for it. */
  onFault: (peer: PeerId) => void
  /**
   * Called once for each block on our own disk that is damaged or cannot be read, and again only for a block that has
   * been forgotten since.
   */
  onBadBlock: (error: BlockCorruptError | BlockUnreadableError) => void
  onError: (error: unknown) => void
}
