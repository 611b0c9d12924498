import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'
import { DfsError } from '../util/errors.ts'

/**
 * The bytes of a block do not match its name, on our disk or from a peer. Such bytes are never returned or sent to
 * anyone.
 */
export class BlockCorruptError extends DfsError {
  override readonly name = 'BlockCorruptError'
  override readonly code = 'corrupt'
  readonly cid: BlockCid
  /** The peer that served the block; null if it came from our own disk. */
  readonly peer: PeerId | null

  constructor(cid: BlockCid, peer: PeerId | null) {
    super(peer === null ? 'a block on this disk is damaged' : 'a member served a damaged block')
    this.cid = cid
    this.peer = peer
  }
}

/** The disk cannot read a block that should be on it. */
export class BlockUnreadableError extends DfsError {
  override readonly name = 'BlockUnreadableError'
  override readonly code = 'io'
  readonly cid: BlockCid

  constructor(cid: BlockCid, options: { cause: unknown }) {
    super('a block on this disk cannot be read', options)
    this.cid = cid
  }
}

/** No reachable member has the block. Members that are offline may have it, so it is not necessarily lost. */
export class BlockUnreachableError extends DfsError {
  override readonly name = 'BlockUnreachableError'
  override readonly code = 'unreachable'
  readonly cid: BlockCid

  constructor(cid: BlockCid, options: { cause?: unknown } = {}) {
    super('a part of this file is on no member that can be reached: try again when more members are connected', options)
    this.cid = cid
  }
}

/**
 * Fewer members than requested have the blocks. The record is stored nevertheless, and the other members get their
 * copies once they can be reached.
 */
export class NotEnoughCopiesError extends DfsError {
  override readonly name = 'NotEnoughCopiesError'
  override readonly code = 'unreachable'
  readonly reached: readonly PeerId[]
  readonly wanted: number
  /** The number of copies of chunks that members still owe. */
  readonly owedBlocks: number
  /** The members that had no room for some block. */
  readonly full: readonly PeerId[]

  constructor({ reached, wanted, owedBlocks, isHere, full }: NotEnoughCopies) {
    const where = isHere
      ? 'it is stored here, and the other copies are made when members can be reached'
      : 'the copy here is not whole, so put the file again'
    const room = full.length === 0 ? '' : ` (without room for it: ${full.length}, see dfs df)`
    super(`fewer than ${wanted} members have acknowledged the whole file${room}: ${where}`)
    this.reached = reached
    this.wanted = wanted
    this.owedBlocks = owedBlocks
    this.full = full
  }
}

export interface NotEnoughCopies {
  /** The members that acknowledged the record and hold the blocks that they are counted on for. */
  reached: readonly PeerId[]
  wanted: number
  /** The number of copies of chunks that members still owe. */
  owedBlocks: number
  /** True if every block of the file is on this disk. */
  isHere: boolean
  /** The members that had no room for some block. */
  full: readonly PeerId[]
}

/**
 * This node cannot prove at the moment that its copies are not needed, so it refuses to free any on request. It will be
 * able to later.
 */
export class EvictRefusedError extends DfsError {
  override readonly name = 'EvictRefusedError'
  override readonly code = 'busy'
}

/** Returns true if an error says that a block cannot be obtained at the moment. */
export function isOutOfReach(error: unknown): boolean {
  return [BlockUnreachableError, BlockCorruptError, BlockUnreadableError].some(kind => error instanceof kind)
}
