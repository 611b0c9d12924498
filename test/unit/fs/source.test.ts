import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { fixedChunker } from '../../../src/format/chunker.ts'
import { SMALL_FILE_BYTES_MAX } from '../../../src/fs/constants.ts'
import { peek } from '../../../src/fs/source.ts'

test('a source may use one buffer for all of its pieces', async () => {
  const pieceBytes = 1_000
  for (const pieces of [1, 2, 40, 200]) {
    const bytes = randomBytes(pieces * pieceBytes)
    async function* source(): AsyncGenerator<Uint8Array> {
      const buffer = Buffer.alloc(pieceBytes)
      for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
        buffer.set(bytes.subarray(at, at + pieceBytes))
        yield buffer
        buffer.fill(0)
      }
    }
    const { whole, all } = await peek(source(), SMALL_FILE_BYTES_MAX)
    if (whole !== undefined) assert.ok(bytes.equals(whole))
    const parts: Uint8Array[] = []
    for await (const { buffer, length } of fixedChunker(30_000)(all)) parts.push(buffer.subarray(0, length))
    assert.ok(bytes.equals(Buffer.concat(parts)), `${pieces} pieces`)
  }
})

test('a source may use its buffer for something else once it has ended', async () => {
  const buffer = Buffer.from('the whole file')
  async function* source(): AsyncGenerator<Uint8Array> {
    yield buffer
    buffer.fill(0)
  }
  const { whole } = await peek(source(), 100)
  assert.equal(Buffer.from(whole as Uint8Array).toString(), 'the whole file')
})
