import type { BlockCid } from '../format/cid.ts'
import type { PeerId } from '../format/peer-id.ts'
import { DfsError } from '../util/errors.ts'

/** Bytes that are not those their name promises, on our disk or from a peer. They are never handed on. */
export class BlockCorruptError extends DfsError {
  override readonly name = 'BlockCorruptError'
  override readonly code = 'corrupt'
  readonly cid: BlockCid
  /** Who served them; null for our own disk. */
  readonly peer: PeerId | null

  constructor(cid: BlockCid, peer: PeerId | null) {
    super(peer === null ? 'a block on this disk is damaged' : 'a member served a damaged block')
    this.cid = cid
    this.peer = peer
  }
}

/** A block that is on our disk, as far as is known, and cannot be read from it. */
export class BlockUnreadableError extends DfsError {
  override readonly name = 'BlockUnreadableError'
  override readonly code = 'io'
  readonly cid: BlockCid

  constructor(cid: BlockCid, options: { cause: unknown }) {
    super('a block on this disk cannot be read', options)
    this.cid = cid
  }
}

/** No member that can be reached has the block. Others may: it is not lost for that. */
export class BlockUnreachableError extends DfsError {
  override readonly name = 'BlockUnreachableError'
  override readonly code = 'unreachable'
  readonly cid: BlockCid

  constructor(cid: BlockCid) {
    super('no member that can be reached has a part of this file: try again when more of them are connected')
    this.cid = cid
  }
}

/**
 * Fewer members than asked for have the blocks. They are kept here, and delivered to the others once they can be reached.
 */
export class NotEnoughCopiesError extends DfsError {
  override readonly name = 'NotEnoughCopiesError'
  override readonly code = 'unreachable'
  readonly reached: readonly PeerId[]
  readonly wanted: number
  /** Copies of chunks that members still owe. */
  readonly owedBlocks: number

  constructor(reached: readonly PeerId[], wanted: number, owedBlocks: number) {
    super(
      `fewer than ${wanted} members hold and acknowledged the whole file: it is stored here, and the other copies are made when members can be reached`
    )
    this.reached = reached
    this.wanted = wanted
    this.owedBlocks = owedBlocks
  }
}

/** Nothing may be given away now: it is not certain what is needed. It will be. */
export class EvictRefusedError extends DfsError {
  override readonly name = 'EvictRefusedError'
  override readonly code = 'busy'
}
