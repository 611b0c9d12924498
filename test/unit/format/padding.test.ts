import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BODY_BYTES_MAX, CHUNK_BYTES, CHUNK_BYTES_MAX } from '../../../src/format/constants.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { paddedBodyLength, paddedChunkLength, padInPlace, padme, unpad } from '../../../src/format/padding.ts'

/** The definition of the paper in exact integers. */
function padmeOfPaper(length: number): number {
  if (length < 2) return length
  const exponent = length.toString(2).length - 1
  const width = exponent.toString(2).length
  const lastBits = exponent - width
  if (lastBits <= 0) return length
  const mask = 2n ** BigInt(lastBits) - 1n
  return Number((BigInt(length) + mask) & ~mask)
}

test('padme computes what the paper says, at every small length and around every power of two', () => {
  for (let length = 0; length < 5000; length++) assert.equal(padme(length), padmeOfPaper(length), `${length}`)
  for (let exponent = 12; exponent < 31; exponent++) {
    for (const off of [-2, -1, 0, 1, 2, 1000])
      assert.equal(padme(2 ** exponent + off), padmeOfPaper(2 ** exponent + off), `2^${exponent} + ${off}`)
  }
})

test('padme never shortens, adds at most 12 %, and leaves padded lengths alone', () => {
  for (let length = 1; length < 5_000_000; length = Math.ceil(length * 1.003)) {
    const padded = padme(length)
    assert.ok(padded >= length && padded <= length * 1.12)
    assert.equal(padme(padded), padded)
  }
  assert.equal(paddedChunkLength(CHUNK_BYTES), CHUNK_BYTES + 4)
  assert.equal(paddedChunkLength(CHUNK_BYTES_MAX), CHUNK_BYTES_MAX + 4)
  assert.equal(paddedChunkLength(0), 4)
})

test('the lengths of bodies double from 256 bytes', () => {
  const known: Array<[number, number]> = [
    [0, 256],
    [252, 256],
    [253, 512],
    [508, 512],
    [509, 1024],
    [BODY_BYTES_MAX - 4, BODY_BYTES_MAX]
  ]
  for (const [length, padded] of known) assert.equal(paddedBodyLength(length), padded)
  assert.throws(() => paddedBodyLength(BODY_BYTES_MAX - 3), FormatError)
})

test('padding is added and removed, whatever was in the buffer before', () => {
  for (const length of [0, 1, 2, 3, 9, 100, 251, 252]) {
    for (const padding of [paddedChunkLength, paddedBodyLength]) {
      const buffer = Buffer.alloc(1000, 0xaa)
      buffer.fill(7, 0, length)
      const padded = padInPlace(buffer, length, padding(length))
      assert.equal(padded.byteLength, padding(length))
      const text = unpad(padded, padding)
      assert.equal(text.byteLength, length)
      assert.ok(text.every(byte => byte === 7))
    }
  }
})

test('any other padding of the same text is refused', () => {
  const padded = Buffer.from(padInPlace(new Uint8Array(256), 10, 256))
  unpad(padded, paddedBodyLength)
  for (let at = 10; at < 252; at++) {
    const altered = Buffer.from(padded)
    altered[at] = 1
    assert.throws(() => unpad(altered, paddedBodyLength), FormatError, `byte ${at}`)
  }
  const withLength = (bytes: number, length: number): Buffer => {
    const text = Buffer.alloc(bytes)
    text.writeUInt32BE(length, bytes - 4)
    return text
  }
  assert.throws(() => unpad(withLength(512, 10), paddedBodyLength), FormatError)
  assert.throws(() => unpad(withLength(256, 253), paddedBodyLength), FormatError)
  assert.throws(() => unpad(withLength(256, 0xffff_ffff), paddedBodyLength), FormatError)
  assert.throws(() => unpad(withLength(256, 257), paddedBodyLength), FormatError)
  // 61 bytes of text would have been padded to 62.
  assert.throws(() => unpad(withLength(65, 61), paddedChunkLength), FormatError)
  for (let short = 0; short < 4; short++)
    assert.throws(() => unpad(Buffer.alloc(short), paddedChunkLength), FormatError)
})
