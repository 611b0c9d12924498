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

interface Filling {
  buffer: Buffer
  length: number
  lease: Lease | undefined
}

/**
 * Returns a function that cuts a stream into chunks of a fixed size. The last chunk may be shorter, and an empty stream
 * has no chunks. Each byte is copied once, into the buffer in which it is padded.
 *
 * Once the first byte of a chunk has come, it waits for the memory of the whole chunk, and reads no more of the source
 * meanwhile. It yields a full chunk only when the next byte has come, so that it can mark the last one. While it holds
 * a part of a chunk and waits for the source, the lease is lent. If the lease is taken back, it throws a
 * `SourceStalledError`. Throws an `InvalidInputError` if no chunk may have this size.
 */
export function fixedChunker(
  chunkBytes: number = CHUNK_BYTES,
  leaseBytes?: LeaseBytes
): (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => AsyncGenerator<Chunk> {
  if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1 || chunkBytes > CHUNK_BYTES_MAX)
    throw new InvalidInputError(`a chunk has 1 to ${CHUNK_BYTES_MAX} bytes`)
  const capacity = paddedChunkLength(chunkBytes)
  return async function* chunk(source) {
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
          if (filling?.length === chunkBytes) {
            yield { ...filling, isLast: false }
            filling.lease?.release()
            filling = undefined
          }
          if (filling === undefined) {
            const lease: Lease | undefined = await leaseBytes?.(capacity + SEAL_OVERHEAD_BYTES)
            filling = { buffer: takeBuffer(capacity), length: 0, lease }
          }
          const part = piece.subarray(taken, taken + chunkBytes - filling.length)
          filling.buffer.set(part, filling.length)
          taken += part.byteLength
          filling.length += part.byteLength
        }
        if (isTakenBack) throw new SourceStalledError()
        filling?.lease?.lend(onTakenBack)
      }
      filling?.lease?.endLoan()
      if (isTakenBack) throw new SourceStalledError()
      if (filling !== undefined) yield { ...filling, isLast: true }
    } finally {
      filling?.lease?.release()
    }
  }
}
