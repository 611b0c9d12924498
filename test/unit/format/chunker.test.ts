import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fixedChunker } from '../../../src/format/chunker.ts'
import { CHUNK_BYTES, CHUNK_BYTES_MAX } from '../../../src/format/constants.ts'
import { paddedChunkLength } from '../../../src/format/padding.ts'
import { InvalidInputError } from '../../../src/util/errors.ts'

async function cut(pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, chunkBytes: number): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  for await (const { buffer, length } of fixedChunker(chunkBytes)(pieces)) {
    assert.ok(buffer.byteLength >= paddedChunkLength(length))
    chunks.push(Buffer.from(buffer.subarray(0, length)))
  }
  return chunks
}

test('a stream has the same chunks however it arrives', async () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251))
  for (const pieceBytes of [1, 3, 16, 17, 100, 1000]) {
    const pieces: Uint8Array[] = [new Uint8Array(0)]
    for (let at = 0; at < bytes.byteLength; at += pieceBytes)
      pieces.push(bytes.subarray(at, at + pieceBytes), new Uint8Array(0))
    const chunks = await cut(pieces, 16)
    assert.equal(chunks.length, 63)
    assert.ok(chunks.slice(0, -1).every(({ byteLength }) => byteLength === 16))
    assert.ok(Buffer.concat(chunks).equals(bytes))
  }
})

test('a stream of whole chunks ends without an empty one, and an empty stream has none', async () => {
  assert.deepEqual(
    (await cut([Buffer.alloc(32)], 16)).map(chunk => chunk.byteLength),
    [16, 16]
  )
  assert.deepEqual(await cut([], 16), [])
  assert.deepEqual(await cut([new Uint8Array(0)], 16), [])
})

test('a chunk is returned as soon as it is full, and the source is closed when the reader stops', async () => {
  let isClosed = false
  let asked = 0
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        asked++
        yield Buffer.alloc(10)
      }
    } finally {
      isClosed = true
    }
  }
  for await (const { length } of fixedChunker(16)(endless())) {
    assert.equal(length, 16)
    break
  }
  assert.equal(asked, 2)
  assert.ok(isClosed)
})

test('an error of the source reaches the reader', async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(5)
    throw new Error('the cable')
  }
  await assert.rejects(cut(failing(), 16), /the cable/)
})

test('sizes that no chunk may have are refused', () => {
  for (const size of [0, -1, 1.5, Number.NaN, CHUNK_BYTES_MAX + 1])
    assert.throws(() => fixedChunker(size), InvalidInputError)
  fixedChunker(CHUNK_BYTES_MAX)
  assert.equal(CHUNK_BYTES, 1 << 20)
})
