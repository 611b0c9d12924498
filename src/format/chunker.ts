import { InvalidInputError } from '../util/errors.ts'
import { CHUNK_BYTES, CHUNK_BYTES_MAX } from './constants.ts'
import { paddedChunkLength } from './padding.ts'

/**
 * A slice of plain text in a buffer with room for its padding. The buffer is reused when the caller asks for the next
 * chunk.
 */
export interface Chunk {
  /** At least `paddedChunkLength(length)` bytes. The first `length` are the text. */
  buffer: Uint8Array
  length: number
}

/**
 * Returns a function that cuts a stream into chunks of a fixed size. The last chunk may be shorter, and an empty stream
 * has no chunks. Each byte is copied once, into the buffer in which it is padded. The whole stream uses one buffer, so
 * the caller must have finished with a chunk before it asks for the next one. Throws an `InvalidInputError` if no chunk
 * may have this size.
 */
export function fixedChunker(
  chunkBytes: number = CHUNK_BYTES
): (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => AsyncGenerator<Chunk> {
  if (!Number.isSafeInteger(chunkBytes) || chunkBytes < 1 || chunkBytes > CHUNK_BYTES_MAX)
    throw new InvalidInputError(`a chunk has 1 to ${CHUNK_BYTES_MAX} bytes`)
  const capacity = paddedChunkLength(chunkBytes)
  return async function* chunk(source) {
    const buffer = Buffer.allocUnsafeSlow(capacity)
    let length = 0
    for await (const piece of source) {
      let taken = 0
      while (taken < piece.byteLength) {
        const part = piece.subarray(taken, taken + chunkBytes - length)
        buffer.set(part, length)
        taken += part.byteLength
        length += part.byteLength
        if (length < chunkBytes) continue
        yield { buffer, length }
        length = 0
      }
    }
    if (length > 0) yield { buffer, length }
  }
}
