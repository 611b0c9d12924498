import assert from 'node:assert/strict'
import { test } from 'node:test'
import { returnBuffer, takeBuffer } from '../../../src/util/buffer-pool.ts'

const MIB = 1 << 20

test('a returned buffer is used again, also for another length that needs as much memory', () => {
  const first = takeBuffer(MIB + 1)
  assert.equal(first.byteLength, MIB + 1)
  returnBuffer(first)
  assert.notEqual(takeBuffer(2 * MIB).buffer, first.buffer)
  const second = takeBuffer(MIB - 50_000)
  assert.equal(second.buffer, first.buffer)
  assert.equal(second.byteLength, MIB - 50_000)
  assert.notEqual(takeBuffer(MIB + 1).buffer, first.buffer)
})

test('the memory of a buffer is larger than the buffer by a quarter at most', () => {
  for (const length of [32 << 10, (32 << 10) + 1, 100_000, 192 << 10, MIB - 1, MIB, MIB + 84, 4 * MIB + 84]) {
    const { buffer } = takeBuffer(length)
    assert.ok(buffer.byteLength >= length && buffer.byteLength <= length * 1.25 + 1024, `${length}`)
  }
  assert.ok(takeBuffer(MIB + 84).buffer.byteLength < 1.01 * MIB)
})

test('a buffer that is returned twice gets only one owner', () => {
  const bytes = takeBuffer(MIB + 3)
  returnBuffer(bytes)
  returnBuffer(bytes)
  assert.equal(takeBuffer(MIB + 3).buffer, bytes.buffer)
  assert.notEqual(takeBuffer(MIB + 3).buffer, bytes.buffer)
})

test('views of a part of some memory, and small buffers, are not pooled', () => {
  const whole = takeBuffer(2 * MIB)
  returnBuffer(whole.subarray(0, MIB))
  returnBuffer(whole.subarray(4))
  assert.notEqual(takeBuffer(2 * MIB).buffer, whole.buffer)
  const small = takeBuffer(100)
  returnBuffer(small)
  assert.notEqual(takeBuffer(100).buffer, small.buffer)
})

test('the pool holds no more bytes than its bound', () => {
  const buffers = Array.from({ length: 40 }, () => takeBuffer(MIB + 5))
  for (const buffer of buffers) returnBuffer(buffer)
  const memories = new Set(buffers.map(({ buffer }) => buffer))
  const again = Array.from({ length: 40 }, () => takeBuffer(MIB + 5)).filter(({ buffer }) => memories.has(buffer))
  assert.ok(again.length > 10 && again.length <= 16, `${again.length}`)
})

test('a full pool makes room for another length, and frees what it drops', () => {
  const many = Array.from({ length: 40 }, () => takeBuffer(MIB + 6))
  for (const buffer of many) returnBuffer(buffer)
  const other = takeBuffer(MIB + 7)
  returnBuffer(other)
  assert.equal(takeBuffer(MIB + 7).buffer, other.buffer)
  assert.ok(many.some(({ buffer }) => buffer.byteLength === 0))
})
