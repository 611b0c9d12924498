import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ROW_BYTES_MAX } from '../../../src/disk/constants.ts'
import { ROW_HEADER_BYTES, RowCodec, SegmentChecksum } from '../../../src/disk/row.ts'
import { concatBytes, toHex } from '../../../src/util/bytes.ts'

const codec = new RowCodec(Buffer.alloc(16, 1))
const at = { segment: 3, offset: 1000 }
const payload = Buffer.from('payload of a row')

function rowBytes(row = { type: 2, payload }, place = at, by = codec): Uint8Array {
  return concatBytes(by.header(row, place).header, row.payload)
}

test('a row is parsed as it was written, wherever it is in a buffer', () => {
  for (const length of [0, 1, 16, ROW_BYTES_MAX]) {
    const row = { type: 0x7f, payload: Buffer.alloc(length, 7) }
    const buffer = concatBytes(Buffer.alloc(5, 0xaa), rowBytes(row), Buffer.alloc(9, 0xbb))
    const parsed = codec.parse(buffer, 5, at)
    assert.equal(parsed?.type, 0x7f)
    assert.equal(toHex(parsed.payload), toHex(row.payload))
    assert.equal(parsed.checksum, codec.header(row, at).checksum)
  }
})

test('the codec notices every flipped bit and every cut', () => {
  const bytes = rowBytes()
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.equal(codec.parse(flipped, 0, at), undefined, `bit ${bit}`)
  }
  for (let length = 0; length < bytes.byteLength; length++)
    assert.equal(codec.parse(bytes.subarray(0, length), 0, at), undefined)
})

test('a row is valid only at its own place in its own store', () => {
  const bytes = rowBytes()
  assert.ok(codec.parse(bytes, 0, at))
  for (const place of [
    { segment: 4, offset: 1000 },
    { segment: 3, offset: 1001 },
    { segment: 1000, offset: 3 }
  ])
    assert.equal(codec.parse(bytes, 0, place), undefined)
  assert.equal(new RowCodec(Buffer.alloc(16, 2)).parse(bytes, 0, at), undefined)
})

test('a length over the bound is refused', () => {
  const huge = { type: 2, payload: Buffer.alloc(ROW_BYTES_MAX + 1) }
  assert.equal(codec.parse(rowBytes(huge), 0, at), undefined)
})

test('a segment checksum covers all rows in any order, and a copy of it is independent', () => {
  const sums = [5, 2 ** 32 - 1, 7]
  const [one, other] = [new SegmentChecksum(), new SegmentChecksum()]
  for (const sum of sums) one.add(sum)
  for (const sum of [...sums].reverse()) other.add(sum)
  assert.equal(toHex(one.payload), '000000030000000b')
  assert.equal(toHex(other.payload), toHex(one.payload))
  const copy = one.copy()
  copy.add(1)
  assert.equal(one.rows, 3)
  assert.equal(toHex(copy.payload), '000000040000000c')
  assert.equal(ROW_HEADER_BYTES, 13)
})
