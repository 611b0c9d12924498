import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pipe } from 'it-pipe'
import { fixedChunker } from '../../../src/format/chunker.ts'
import { verifyBlock } from '../../../src/format/cid.ts'
import { FormatError, SealError } from '../../../src/format/errors.ts'
import type { SealedBlock } from '../../../src/format/manifest.ts'
import { paddedBodyLength, paddedChunkLength, padInPlace } from '../../../src/format/padding.ts'
import { seal } from '../../../src/format/seal.ts'
import { inlineRoot, openChunk, openChunkOf, sealFile } from '../../../src/format/seal-file.ts'
import { Budget } from '../../../src/util/budget.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { contentSubkey as subkey } from '../../fixtures/keys.ts'
import { gather } from '../../fixtures/streams.ts'

async function sealAll(bytes: Uint8Array, chunkBytes = 16, salt?: Uint8Array): Promise<SealedBlock[]> {
  const options = salt === undefined ? { subkey } : { subkey, salt }
  return gather(pipe([bytes], fixedChunker(chunkBytes), sealFile(options)))
}

const counting = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => i % 251))

test('sealFile returns chunks in order, each node as soon as it is full, and the root last', async () => {
  const blocks = await sealAll(counting(16 * 1025))
  assert.deepEqual(
    blocks.filter(({ chunkIndex: leaf }) => leaf !== null).map(({ chunkIndex: leaf }) => leaf),
    Array.from({ length: 1025 }, (_, i) => i)
  )
  assert.deepEqual(
    blocks.flatMap(({ chunkIndex: leaf }, i) => (leaf === null ? [i] : [])),
    [1024, 1026, 1027]
  )
  assert.ok(blocks.every(({ cid, bytes }) => verifyBlock(cid, bytes)))
  assert.ok(blocks.slice(0, -1).every(block => block.root === undefined))
  const { cid, root } = blocks.at(-1) as SealedBlock
  assert.equal(root?.cid, cid)
  assert.equal(root?.leaves, 1025)
  assert.equal(root?.size, 16 * 1025)
})

test('sealFile handles a file of exactly one full node, of one chunk, and of none', async () => {
  const full = await sealAll(counting(16 * 1024))
  assert.equal(full.length, 1025)
  assert.equal(full.at(-1)?.chunkIndex, null)
  assert.equal(full.at(-1)?.root?.leaves, 1024)
  const [only, ...none] = await sealAll(counting(16))
  assert.deepEqual(none, [])
  assert.equal(only?.chunkIndex, 0)
  assert.equal(only?.root?.leaves, 1)
  assert.deepEqual(await sealAll(new Uint8Array(0)), [])
})

test('later blocks do not change an earlier block', async () => {
  const text = counting(64)
  let at = 0
  let last: { block: SealedBlock; copy: string } | undefined
  for await (const block of pipe([text], fixedChunker(16), sealFile({ subkey }))) {
    if (last !== undefined) assert.equal(toHex(last.block.bytes), last.copy)
    last = { block, copy: toHex(block.bytes) }
    at++
  }
  assert.equal(at, 5)
})

test('sealFile returns blocks before it asks for more than the piece after them', async () => {
  let asked = 0
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 5; i++) {
      asked++
      yield counting(16)
    }
  }
  let given = 0
  for await (const { chunkIndex: leaf } of pipe(source(), fixedChunker(16), sealFile({ subkey }))) {
    if (leaf === null) continue
    given++
    assert.ok(asked <= given + 1, `${asked} asked for, ${given} given`)
  }
  assert.equal(given, 5)
})

test('sealFile closes the source when the reader stops, and passes on its errors', async () => {
  let isClosed = false
  async function* source(fails: boolean): AsyncGenerator<Uint8Array> {
    try {
      for (let i = 0; ; i++) {
        if (fails && i === 3) throw new Error('the cable')
        yield counting(16)
      }
    } finally {
      isClosed = true
    }
  }
  for await (const _ of pipe(source(false), fixedChunker(16), sealFile({ subkey }))) break
  assert.ok(isClosed)
  await assert.rejects(gather(pipe(source(true), fixedChunker(16), sealFile({ subkey }))), /the cable/)
})

test('a salt changes every block of an equal text, and all of them open', async () => {
  const salt = Buffer.alloc(32, 1)
  const [plain, salted] = await Promise.all([sealAll(counting(40)), sealAll(counting(40), 16, salt)])
  for (const [i, { cid }] of plain.entries()) assert.ok(!cid.equals((salted[i] as SealedBlock).cid))
  const [one] = await sealAll(counting(10), 16, salt)
  assert.deepEqual(Buffer.from(openChunk(one?.root?.key as Uint8Array, one?.bytes as Uint8Array)), counting(10))
})

test('a chunk opens to its text, and only if it has the stated size', async () => {
  const [block] = (await sealAll(counting(10), 16)) as [SealedBlock]
  const key = block.root?.key as Uint8Array
  assert.deepEqual(Buffer.from(openChunkOf({ key, size: 10 }, block.bytes)), counting(10))
  for (const size of [0, 9, 11]) assert.throws(() => openChunkOf({ key, size }, block.bytes), FormatError)
  assert.throws(() => openChunk(Buffer.alloc(32), block.bytes), SealError)
})

test('a sealed text that is not a padded chunk is refused', () => {
  const sealPadded = (padded: Uint8Array) => seal(subkey, padded, { label: 'chunk' })
  // 200 bytes padded as a body is, not as a chunk is.
  const body = sealPadded(padInPlace(Buffer.alloc(256), 200, paddedBodyLength(200)))
  assert.throws(() => openChunk(body.key, body.bytes), FormatError)
  const tiny = sealPadded(Buffer.alloc(3))
  assert.throws(() => openChunk(tiny.key, tiny.bytes), FormatError)
})

test('inline content has the siv that its chunk would have', () => {
  for (const length of [0, 1, 100, 1024]) {
    const text = counting(length)
    const padded = padInPlace(Buffer.concat([text, Buffer.alloc(200)]), length, paddedChunkLength(length))
    assert.equal(toHex(inlineRoot(subkey, text)), toHex(seal(subkey, padded, { label: 'chunk' }).siv))
    assert.notEqual(toHex(inlineRoot(subkey, text, Buffer.alloc(32))), toHex(inlineRoot(subkey, text)))
  }
})

test('the lease of a chunk shrinks to its block, and ends with the next chunk if nobody takes it', async () => {
  const memory = new Budget({ bytesMax: 1_000 })
  const chunk = fixedChunker(100, bytes => memory.acquire(bytes, { owner: 'put' }))
  const blocks = pipe([counting(210)], chunk, sealFile({ subkey }))
  const first = (await blocks.next()).value as SealedBlock
  const taken = first.lease?.take()
  assert.equal(taken?.bytes, first.bytes.byteLength)
  await blocks.next()
  const third = (await blocks.next()).value as SealedBlock
  assert.ok(third.bytes.byteLength < first.bytes.byteLength)
  // The second was not taken.
  assert.equal(memory.taken, first.bytes.byteLength + third.bytes.byteLength)
  await gather(blocks)
  taken?.release()
  assert.equal(memory.taken, 0)
})

test('sealFile holds no memory while it waits for the next chunk', async () => {
  const memory = new Budget({ bytesMax: paddedChunkLength(16) + 48 })
  const chunk = fixedChunker(16, bytes => memory.acquire(bytes, { owner: 'put' }))
  // There is memory for one chunk, and its block is released before the next one is requested.
  let count = 0
  for await (const { lease, bytes } of pipe([counting(160)], chunk, sealFile({ subkey }))) {
    if (lease === undefined) continue
    const taken = lease.take()
    assert.equal(memory.taken, bytes.byteLength)
    taken.release()
    count++
  }
  assert.equal(count, 10)
})
