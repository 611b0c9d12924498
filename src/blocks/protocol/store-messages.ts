import { z } from 'zod'
import { type BlockCid, CID } from '../../format/cid.ts'
import { BLOCK_BYTES_MAX } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { bytesOf } from '../../format/schemas.ts'
import { ProtocolError } from '../../wire/errors.ts'
import type { Bitmap } from '../bitmap.ts'
import {
  CLAIM_MS_MAX,
  HOLD_RECORDS_MAX,
  INLINE_BLOCK_BYTES_MAX,
  KEEP_BYTES_MAX,
  KEEP_CIDS_MAX,
  PAGE_CHUNKS,
  PUT_NUMBER_BYTES
} from '../constants.ts'
import { NONCE_BYTES } from './proof.ts'

/** The messages of `/dfs/store/1.0.0`. SPEC.md describes what each message asks and promises. */

/**
 * A keeper's possible answers about one block. On the wire, a state is sent as its index in this list. `added` is the
 * answer about a block that came with its record: both are durable, and the record is acknowledged.
 */
export const KEEP_STATES = ['kept', 'lacking', 'full', 'refused', 'added'] as const
export type KeepState = (typeof KEEP_STATES)[number]

const cidSchema = z.custom<CID>(value => value instanceof CID)
const until = z.number().int().positive().max(CLAIM_MS_MAX)

const first = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)
/** The public key of the member to pull from before the asker. */
const from = bytesOf(32).optional()

/**
 * The forms of `keep`. Fields that this version does not know are ignored, so that later versions can add some.
 */
export const requestSchema = z.union([
  // Keep these blocks for this put. The request carries small ones inline; the keeper pulls the others.
  z.object({
    put: bytesOf(PUT_NUMBER_BYTES),
    cids: z.array(cidSchema).min(1).max(KEEP_CIDS_MAX),
    lengths: z.array(
      z
        .number()
        .int()
        .nonnegative()
        .max(INLINE_BLOCK_BYTES_MAX - 1)
    ),
    sizes: z.array(z.number().int().nonnegative().max(BLOCK_BYTES_MAX)).max(KEEP_CIDS_MAX).optional(),
    // The lengths of the records of the blocks, which follow the blocks in the body.
    records: z.array(z.number().int().nonnegative().max(KEEP_BYTES_MAX)).max(KEEP_CIDS_MAX).optional(),
    until,
    fetch: z.boolean(),
    from
  }),
  // Confirm, for this put, the chunks of this page of a file that the bitmap names. The asker counts on the keeper for
  // them.
  z.object({ put: bytesOf(PUT_NUMBER_BYTES), root: cidSchema, first, until, fetch: z.boolean(), from }),
  // Answer which of these chunks are here. By itself this is a question; with `fetch` it is a debt, and with a nonce it
  // is a hold under this view.
  z.object({
    view: bytesOf(32),
    root: cidSchema,
    first,
    fetch: z.boolean(),
    from,
    nonce: bytesOf(NONCE_BYTES).optional(),
    records: z.array(bytesOf(32)).max(HOLD_RECORDS_MAX).optional()
  }),
  // This put has ended, and no record of it follows.
  z.object({ put: bytesOf(PUT_NUMBER_BYTES), ended: z.literal(true) })
])

/** One block that a put asks a member to keep. */
export interface KeepRequest {
  /** The random number that the writer drew for the put, 16 bytes. */
  put: Uint8Array
  cid: BlockCid
  /** The bytes that travel inline; null for a block that the keeper must pull. */
  bytes: Uint8Array | null
  /** The length of the block, if it is known. With it the keeper need not set aside memory for the largest block. */
  sizeBytes: number | undefined
  /** The member to pull from first, in place of us. */
  from?: PeerId | undefined
  /** The record of the file whose only block this is. The keeper answers `added` if it acknowledges the record too. */
  record?: Uint8Array | undefined
}

/** Form 1 of `keep`: keep these blocks for this put. */
export interface KeepBlocks {
  /** The random number that the writer drew for the put, 16 bytes. */
  put: Uint8Array
  /**
   * 1 to `KEEP_CIDS_MAX` blocks. `inline` holds the bytes of a block if they came with the request, or else null.
   * `sizeBytes` is the length of a block to be pulled, if the asker stated it. `record` is the record that came with an
   * inline block.
   */
  blocks: Array<{
    cid: BlockCid
    inline: Uint8Array | null
    sizeBytes?: number | undefined
    record?: Uint8Array | null | undefined
  }>
  /** How long the claims last, at most `CLAIM_MS_MAX`. The keeper measures this from its answer, by its own clock. */
  claimMs: number
  /**
   * Whether to pull blocks that are neither inline nor here. If false, the request only asks about blocks that are not
   * inline.
   */
  fetch: boolean
  /** The member to pull from first, in place of the asker. */
  from?: PeerId | undefined
  /** The memory of all inline blocks. It belongs to the keeper. */
  body?: Uint8Array | undefined
}

/** A part of a file: the chunks from `first` to the end of its page. A page has `PAGE_CHUNKS` chunks. */
export interface Page {
  first: number
  /** The chunks that the request is about. Bit 0 stands for `first`. */
  chunks: Bitmap
}

/** A keeper's answer about a page. */
export interface PageAnswer {
  /** The chunks that it lacks. Bit 0 stands for `first`. */
  lacking: Bitmap
  /**
   * The number of chunks, counted from `first`, that the answer covers: 1 to `PAGE_CHUNKS`. The asker asks about the
   * others again.
   */
  covered: number
}

/** Form 2 of `keep`: the put counts on you for these chunks of this file. */
export interface KeepRoot extends Page {
  /** The random number that the writer drew for the put, 16 bytes. */
  put: Uint8Array
  root: BlockCid
  /** How long the claims last, as in `KeepBlocks`. */
  claimMs: number
  /** Whether to pull, claim and remember the chunks. If false, the request is a question and changes nothing. */
  fetch: boolean
  /** The member to pull from first, in place of the asker. */
  from?: PeerId | undefined
}

/** A request of form 3 of `keep` about a file: a question about these chunks, a debt, or a hold. */
export interface HoldRoot {
  /** The id of the asker's view, 32 bytes. It matters only for a hold. */
  view: Uint8Array
  root: BlockCid
  /** The chunks that the request is about. A hold may name at most `HOLD_CHUNKS_MAX`. */
  chunks: Bitmap
  /**
   * Whether to pull the chunks that are not here, from the asker first. Without a nonce, this makes the request a debt.
   */
  fetch: boolean
  /** The 32 bytes that the proofs answer; undefined for a question or a debt. */
  nonce: Uint8Array | undefined
  /**
   * The ids (32 bytes) of all records that, as far as the asker knows, need the chunks; at most `HOLD_RECORDS_MAX`.
   * Used only for a hold.
   */
  records: Uint8Array[]
}

export const statesReply = z.object({ states: z.custom<Uint8Array>(value => value instanceof Uint8Array) })
const covered = z.number().int().positive().max(PAGE_CHUNKS)
export const pageReply = z.object({ covered })
export const holdReply = z.object({ covered, lacking: z.number().int().nonnegative() })

/**
 * The chunks that the keeper lacks and, if there was a nonce, the proofs of the other chunks, 32 bytes each, in order.
 */
export interface HoldAnswer {
  lacking: Bitmap
  proofs: Uint8Array
}

/** Form 3 of `keep`, as one request carries it. */
export interface HoldPage extends Omit<HoldRoot, 'chunks'>, Page {
  /** The member to pull from first. */
  from?: PeerId | undefined
}

export interface HoldPageAnswer extends PageAnswer, HoldAnswer {}

/**
 * Cuts a body into its inline blocks, and the records after them. A length of zero means that the block is not inline,
 * since no sealed block is empty, or that it has no record; it becomes null. Throws a `ProtocolError` if the lengths do not add up to the body.
 */
export function splitInline(body: Uint8Array, lengths: readonly number[]): Array<Uint8Array | null> {
  let offset = 0
  const parts = lengths.map(length => {
    const part = length === 0 ? null : body.subarray(offset, offset + length)
    offset += length
    return part
  })
  if (offset !== body.byteLength) throw new ProtocolError('the body of a keep is not as long as its header says')
  return parts
}
