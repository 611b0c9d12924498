import { takeBuffer } from '../util/buffer-pool.ts'
import { InvalidInputError, SourceStalledError } from '../util/errors.ts'
import type { Lease } from '../util/lease.ts'
import { CHUNK_BYTES, CHUNK_BYTES_MAX, SEAL_OVERHEAD_BYTES } from './constants.ts'
import { paddedChunkLength } from './padding.ts'

/** A slice of plain text in a buffer with room for its padding. Its receiver owns the buffer and the lease. */
export interface Chunk {
  /** At least `paddedChunkLength(length)` bytes. The first `length` are the text. */
  buffer: Uint8Array
  length: number
  /** True for the last chunk of the stream. */
  isLast: boolean
  /** Memory for the chunk, and later for the block that it is sealed into. */
  lease?: Lease | undefined
}

/** Waits until there is memory for this many bytes. */
export type LeaseBytes = (bytes: number) => Promise<Lease>

/** Cuts a stream into chunks. */
export type Chunker = (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => AsyncGenerator<Chunk>

/** Decides where the chunks of one stream end. It is shown every byte of the stream once, in order. */
export interface Cutter {
  /** The most bytes that a chunk may have. */
  readonly bytesMax: number
  /**
   * Looks at a piece of the stream from `from` on. The chunk has `length` bytes before that. Returns how far the chunk
   * reaches into the piece, and whether it ends there.
   */
  take(piece: Uint8Array, from: number, length: number): { to: number; isFull: boolean }
}

interface Filling {
  buffer: Buffer
  length: number
  lease: Lease | undefined
  isFull: boolean
}

/**
 * Returns a function that cuts a stream into chunks of a fixed size. The last chunk may be shorter. Throws an
 * `InvalidInputError` if no chunk may have this size.
 */
export function fixedChunker(chunkBytes: number = CHUNK_BYTES, leaseBytes?: LeaseBytes): Chunker {
  if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1 || chunkBytes > CHUNK_BYTES_MAX)
    throw new InvalidInputError(`a chunk has 1 to ${CHUNK_BYTES_MAX} bytes`)
  const cutter: Cutter = {
    bytesMax: chunkBytes,
    take: (piece, from, length) => {
      const to = Math.min(piece.byteLength, from + chunkBytes - length)
      return { to, isFull: length + to - from === chunkBytes }
    }
  }
  return chunkerOf(() => cutter, leaseBytes)
}

/**
 * Returns a function that cuts a stream where a cutter says so. An empty stream has no chunks. Each byte is copied once,
 * into the buffer in which it is padded.
 *
 * Once the first byte of a chunk has come, it waits for the memory of the largest chunk, and reads no more of the source
 * meanwhile. It yields a full chunk only when the next byte has come, so that it can mark the last one. While it holds
 * a part of a chunk and waits for the source, the lease is lent. If the lease is taken back, it throws a
 * `SourceStalledError`.
 */
export function chunkerOf(newCutter: () => Cutter, leaseBytes: LeaseBytes | undefined): Chunker {
  return async function* chunk(source) {
    const cutter = newCutter()
    const capacity = paddedChunkLength(cutter.bytesMax)
    let filling: Filling | undefined
    let isTakenBack = false
    const onTakenBack = (): void => {
      isTakenBack = true
      filling = undefined
    }
    try {
      for await (const piece of source) {
        filling?.lease?.endLoan()
        let taken = 0
        while (taken < piece.byteLength && !isTakenBack) {
          if (filling?.isFull === true) {
            const { buffer, length, lease } = filling
            yield { buffer, length, lease, isLast: false }
            lease?.release()
            filling = undefined
          }
          if (filling === undefined) {
            const lease: Lease | undefined = await leaseBytes?.(capacity + SEAL_OVERHEAD_BYTES)
            filling = { buffer: takeBuffer(capacity), length: 0, lease, isFull: false }
          }
          const { to, isFull } = cutter.take(piece, taken, filling.length)
          filling.buffer.set(piece.subarray(taken, to), filling.length)
          filling.length += to - taken
          filling.isFull = isFull
          taken = to
        }
        if (isTakenBack) throw new SourceStalledError()
        filling?.lease?.lend(onTakenBack)
      }
      filling?.lease?.endLoan()
      if (isTakenBack) throw new SourceStalledError()
      if (filling !== undefined) {
        const { buffer, length, lease } = filling
        yield { buffer, length, lease, isLast: true }
      }
    } finally {
      filling?.lease?.release()
    }
  }
}
