import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fixedChunker } from '../../../src/format/chunker.ts'
import { CHUNK_BYTES, CHUNK_BYTES_MAX } from '../../../src/format/constants.ts'
import { paddedChunkLength } from '../../../src/format/padding.ts'
import { Budget } from '../../../src/util/budget.ts'
import { InvalidInputError, SourceStalledError } from '../../../src/util/errors.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { settle } from '../../fixtures/pass-time.ts'

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

test('only the last chunk is marked as the last', async () => {
  for (const length of [1, 16, 17, 32, 33]) {
    const marks: boolean[] = []
    for await (const { isLast } of fixedChunker(16)([Buffer.alloc(length)])) marks.push(isLast)
    assert.deepEqual(marks, [...Array(Math.ceil(length / 16) - 1).fill(false), true], `${length} bytes`)
  }
})

/** Chunks of 16 bytes, with memory for two of them. */
function leasing(lending?: { clock: ManualClock; msMax: number }) {
  const leaseBytes = paddedChunkLength(16) + 48
  const memory = new Budget({ bytesMax: 2 * leaseBytes, lending })
  const chunk = fixedChunker(16, bytes => memory.acquire(bytes, { owner: 'put' }))
  return { memory, chunk, leaseBytes }
}

test('memory is leased before a chunk is filled, and the source waits for it', async () => {
  const { memory, chunk, leaseBytes } = leasing()
  let asked = 0
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 50; i++) {
      asked++
      yield Buffer.alloc(4)
    }
  }
  const chunks = chunk(source())
  assert.equal(memory.taken, 0)
  const taken = []
  for (let i = 0; i < 2; i++) taken.push((await chunks.next()).value.lease.take())
  assert.equal(memory.taken, 2 * leaseBytes)
  const third = chunks.next()
  await settle(2)
  // Two chunks, and the piece with which the third begins.
  assert.equal(asked, 9)
  taken[0]?.release()
  const { lease } = (await third).value
  assert.equal(memory.taken, 2 * leaseBytes)
  // If nobody takes a lease, the chunker releases it.
  await chunks.next()
  assert.equal(lease.bytes, 0)
  assert.equal(memory.taken, 2 * leaseBytes)
  await chunks.return(undefined)
  assert.equal(memory.taken, leaseBytes)
})

test('a source that delivers nothing holds no memory between two chunks', async () => {
  const { memory, chunk, leaseBytes } = leasing()
  const gate = Promise.withResolvers<void>()
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(17)
    await gate.promise
  }
  const chunks = chunk(source())
  await chunks.next()
  const last = chunks.next()
  await settle(2)
  assert.equal(memory.taken, leaseBytes)
  gate.resolve()
  assert.equal((await last).value.isLast, true)
  await chunks.next()
  assert.equal(memory.taken, 0)
})

test('a source that stalls in the middle of a chunk loses its memory when others wait for it', async () => {
  const clock = new ManualClock()
  const { memory, chunk, leaseBytes } = leasing({ clock, msMax: 60_000 })
  const gate = Promise.withResolvers<void>()
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(5)
    await gate.promise
    yield Buffer.alloc(5)
  }
  const stalled = chunk(source()).next()
  await settle(2)
  clock.advance(100_000)
  assert.equal(memory.taken, leaseBytes)
  const other = memory.acquire(2 * leaseBytes, { owner: 'other put' })
  clock.advance(1)
  ;(await other).release()
  gate.resolve()
  await assert.rejects(stalled, SourceStalledError)
  assert.equal(memory.taken, 0)
})

test('an error of the source, and a reader that stops, release what was leased', async () => {
  const { memory, chunk } = leasing()
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(5)
    throw new Error('the cable')
  }
  await assert.rejects(chunk(failing()).next(), /the cable/)
  assert.equal(memory.taken, 0)
  for await (const _ of chunk([Buffer.alloc(100)])) break
  assert.equal(memory.taken, 0)
})
