import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { contentChunker, type GearTable, gearTable } from '../../../src/format/fastcdc.ts'

/** Pseudo-random bytes, which are the same in every run. */
function bytesOf(seed: string, length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update(seed).digest()
}

const table = gearTable(bytesOf('epoch', 32))
const text = bytesOf('text', 3 << 20)

async function chunksOf(pieces: Iterable<Uint8Array>, gear: GearTable = table): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  for await (const { buffer, length } of contentChunker(gear)(pieces))
    chunks.push(Buffer.from(buffer.subarray(0, length)))
  return chunks
}

function* inPieces(bytes: Buffer, pieceBytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

/** The lengths of chunks, as SPEC.md states the rule, one byte at a time. */
function lengthsBySpec(bytes: Buffer): number[] {
  const lengths: number[] = []
  let n = 0
  let h = 0
  for (const b of bytes) {
    n++
    if (n > 65_536) h = (Math.imul(2, h) + (table[b] as number)) | 0
    const isCut = n > 65_536 && (h & (n <= 163_840 ? 0x7ffff000 : 0x7fff8000)) === 0
    if (!isCut && n < 1_048_576) continue
    lengths.push(n)
    n = 0
    h = 0
  }
  return n === 0 ? lengths : [...lengths, n]
}

test('a stream is cut as the rule says, however it arrives', async () => {
  const lengths = lengthsBySpec(text)
  assert.ok(lengths.length > 10)
  for (const pieceBytes of [999, 65_536, 65_537, 1 << 18, text.byteLength]) {
    const chunks = await chunksOf(inPieces(text, pieceBytes))
    assert.deepEqual(
      chunks.map(({ byteLength }) => byteLength),
      lengths,
      `pieces of ${pieceBytes} bytes`
    )
    assert.ok(Buffer.concat(chunks).equals(text))
  }
})

test('the cuts of this version stay the same for ever, or files that are put again would be sent again', () => {
  const digest = createHash('sha256')
    .update(Buffer.from(Int32Array.from(lengthsBySpec(text)).buffer))
    .digest('hex')
  assert.equal(digest, 'aa19d870cda65dad54ead84dad03a8641ecf942a14b67c7614f3305f790e25ca')
})

test('ten bytes that are inserted change one or two chunks, and so do bytes that are removed', async () => {
  const before = new Set((await chunksOf([text])).map(chunk => chunk.toString('latin1')))
  const at = 1_700_000
  const changed = [
    Buffer.concat([text.subarray(0, at), bytesOf('more', 10), text.subarray(at)]),
    Buffer.concat([text.subarray(0, at), text.subarray(at + 100)])
  ]
  for (const after of changed) {
    const fresh = (await chunksOf([after])).filter(chunk => !before.has(chunk.toString('latin1')))
    assert.ok(fresh.length >= 1 && fresh.length <= 2, `${fresh.length} chunks are new`)
  }
})

test('bytes without any change are cut at the greatest length, and another epoch cuts elsewhere', async () => {
  const same = await chunksOf([Buffer.alloc((2 << 20) + 5)])
  assert.deepEqual(
    same.map(({ byteLength }) => byteLength),
    [1 << 20, 1 << 20, 5]
  )
  const other = await chunksOf([text], gearTable(bytesOf('other epoch', 32)))
  assert.notDeepEqual(
    other.map(({ byteLength }) => byteLength),
    lengthsBySpec(text)
  )
})
