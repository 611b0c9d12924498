import { hkdfSync } from 'node:crypto'
import { type Chunker, type Cutter, chunkerOf, type LeaseBytes } from './chunker.ts'

/**
 * Content-defined chunking: FastCDC with normalised chunking (Xia et al., "The Design of Fast Content-Defined Chunking
 * for Data Deduplication Based Storage Systems", IEEE TPDS 2020). A chunk ends where a hash of the last bytes has some
 * zero bits. So the cuts move with the content, and after an insertion most chunks are the same as before.
 *
 * The lengths of chunks then say something about the content. The table of the hash is secret, so nobody outside can
 * compute the lengths of a known file. But a table can be found by who sees the chunks of files that he chose, so it
 * hides little from a member that stores blocks without being able to read them (Truong et al., "Breaking and Fixing
 * Content-Defined Chunking", eprint 2025/558). Therefore this is not the default. SECURITY.md says so to users.
 */

/** One random number for each value of a byte. */
export type GearTable = Int32Array

/** The fewest bytes in a chunk, the last one excepted. Anything smaller would be a small block. */
const CONTENT_CHUNK_BYTES_MIN = 64 << 10
/**
 * Up to this length a cut is unlikely, and after it likely, so most chunks are about as long as this. A change sends the
 * chunk around it again, so it is much less than a fixed chunk.
 */
const CONTENT_CHUNK_BYTES = 160 << 10
const CONTENT_CHUNK_BYTES_MAX = 1 << 20

// 19 bits and 16 bits. The further apart they are, the more alike are the lengths, but the longer it takes after a large
// change until the cuts are those of before. The highest bit is left out, so that a hash that was shifted one bit further
// can be tested too.
const UNLIKELY = 0x7ffff000
const LIKELY = 0x7fff8000

const TABLE_LENGTH = 256

/** Derives the table of an epoch from its key. A table per epoch costs nothing: equal chunks meet only within one. */
export function gearTable(epochKey: Uint8Array): GearTable {
  const bytes = Buffer.from(hkdfSync('sha256', epochKey, new Uint8Array(0), 'dfs/1/chunker', TABLE_LENGTH * 4))
  return Int32Array.from({ length: TABLE_LENGTH }, (_, i) => bytes.readInt32BE(i * 4))
}

/**
 * Returns a function that cuts a stream where its content says so, by the table of an epoch. SPEC.md has the rule. For
 * the rest see `chunkerOf`.
 */
export function contentChunker(table: GearTable, leaseBytes?: LeaseBytes): Chunker {
  return chunkerOf(() => new ContentCutter(table), leaseBytes)
}

/** Finds the cuts of one stream. */
class ContentCutter implements Cutter {
  readonly bytesMax = CONTENT_CHUNK_BYTES_MAX
  readonly #table: GearTable
  /** The table for the first of two bytes, which is shifted one bit further. */
  readonly #doubled: GearTable
  #hash = 0

  constructor(table: GearTable) {
    this.#table = table
    this.#doubled = table.map(value => value << 1)
  }

  take(piece: Uint8Array, from: number, length: number): { to: number; isFull: boolean } {
    if (length === 0) this.#hash = 0
    const end = Math.min(piece.byteLength, from + CONTENT_CHUNK_BYTES_MAX - length)
    const begin = Math.min(end, from + Math.max(0, CONTENT_CHUNK_BYTES_MIN - length))
    const usual = Math.min(end, Math.max(begin, from + CONTENT_CHUNK_BYTES - length))
    const to =
      this.#find(piece.subarray(0, usual), begin, UNLIKELY) ?? this.#find(piece.subarray(0, end), usual, LIKELY)
    if (to !== undefined) return { to, isFull: true }
    return { to: end, isFull: length + end - from === CONTENT_CHUNK_BYTES_MAX }
  }

  /**
   * Hashes the bytes from `from` on, and returns the position after the first byte at which the hash has none of the
   * bits of `mask`; undefined if there is none. It takes two bytes a step, which is a quarter faster.
   */
  #find(bytes: Uint8Array, from: number, mask: number): number | undefined {
    const table = this.#table
    const doubled = this.#doubled
    const doubledMask = mask << 1
    let hash = this.#hash
    let at = from
    for (; at + 1 < bytes.length; at += 2) {
      hash = ((hash << 2) + (doubled[bytes[at] as number] as number)) | 0
      if ((hash & doubledMask) === 0) return at + 1
      hash = (hash + (table[bytes[at + 1] as number] as number)) | 0
      if ((hash & mask) === 0) return at + 2
    }
    if (at < bytes.length) {
      hash = ((hash << 1) + (table[bytes[at] as number] as number)) | 0
      if ((hash & mask) === 0) return at + 1
    }
    this.#hash = hash
    return undefined
  }
}
