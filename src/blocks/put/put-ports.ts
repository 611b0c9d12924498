import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Statement } from '../../format/statement.ts'
import type { Verdict } from '../../log/projection.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { LogValue, PutLogs } from './logs.ts'
import type { MemberNewsDeps } from './member-news.ts'

export interface PutDriverDeps extends MemberNewsDeps {
  logs: PutLogs
  storeClient: Pick<StoreClient, 'keepBlock' | 'keepRoot'>
  /** Called when a member has acknowledged a record that came to it with its block. */
  onAdded: (peer: PeerId, record: Statement) => void
}

/** The functions that a put needs once its record is durable. */
export interface PushPorts {
  /** Pushes the record to a member. */
  push: (peer: PeerId) => Promise<Verdict>
  /** Returns true if every block of the file is on this disk and is claimed. */
  isOwnWhole: () => Promise<boolean>
  /** Brings the blocks that are missing on this disk back from other members. */
  restoreOwn: () => Promise<void>
  log: (text: string, ...args: LogValue[]) => void
}

/**
 * A block to keep. It does not contain the bytes of a large block, so that waiting for slow members costs no memory.
 */
export interface Wanted {
  cid: BlockCid
  /** Its number among the file's chunks; null for a manifest node. */
  chunkIndex: number | null
  /** Undefined if it is not known without reading the block. */
  sizeBytes: number | undefined
  inline: Uint8Array | null
  /** The record of the file, if this is its only block and the record is durable here. It travels with the block. */
  record?: Statement | undefined
}

/** A block that is being placed. */
export interface Placing {
  /** Resolves once enough members keep the block, or nobody is left to ask. */
  enough: Promise<void>
  /** The members that keep it so far. */
  keptBy: () => readonly PeerId[]
}
