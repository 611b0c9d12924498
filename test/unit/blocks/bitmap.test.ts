import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitmap } from '../../../src/blocks/bitmap.ts'

test('a bitmap sets, counts and clears bits, least significant first', () => {
  const bitmap = new Bitmap()
  for (const bit of [0, 7, 8, 1_000]) bitmap.add(bit)
  assert.deepEqual([...bitmap.bytes.subarray(0, 2)], [0b1000_0001, 1])
  assert.equal(bitmap.size, 4)
  assert.ok(bitmap.has(1_000) && !bitmap.has(999) && !bitmap.has(100_000))
  bitmap.delete(8)
  bitmap.delete(200_000)
  assert.deepEqual([bitmap.has(8), bitmap.size], [false, 3])
})

test('a full bitmap has exactly the bits that were asked for', () => {
  for (const count of [0, 1, 7, 8, 9, 1_023]) {
    const bitmap = Bitmap.full(count)
    assert.equal(bitmap.size, count)
    assert.equal(bitmap.bytes.byteLength, Math.ceil(count / 8))
    assert.ok(!bitmap.has(count))
  }
})

test('a bitmap can be sliced, and two of them intersected', () => {
  const bitmap = Bitmap.full(100)
  assert.equal(bitmap.slice(0, 13).size, 13)
  assert.equal(bitmap.slice(96, 1_024).size, 4)
  assert.equal(bitmap.slice(104, 8).size, 0)
  const other = new Bitmap()
  for (const bit of [3, 99, 500]) other.add(bit)
  assert.equal(bitmap.and(other).size, 2)
  assert.equal(other.and(bitmap).size, 2)
  // A slice is a copy: changing it does not change the original.
  const part = bitmap.slice(0, 8)
  part.delete(0)
  assert.ok(bitmap.has(0))
})

test('a slice may begin at any bit, and replaces what is there', () => {
  const bitmap = new Bitmap()
  for (const bit of [3, 5, 12, 700]) bitmap.add(bit)
  for (const from of [0, 1, 3, 5, 8, 11]) {
    const part = bitmap.slice(from, 12)
    for (let bit = 0; bit < 12; bit++) assert.equal(part.has(bit), bitmap.has(from + bit), `${from} + ${bit}`)
    assert.ok(part.bytes.byteLength <= 2)
  }
  const part = new Bitmap()
  for (const bit of [0, 4, 9]) part.add(bit)
  bitmap.setSlice(5, 8, part)
  assert.deepEqual(
    [3, 5, 9, 12, 14, 700].map(bit => bitmap.has(bit)),
    [true, true, true, false, false, true]
  )
})
