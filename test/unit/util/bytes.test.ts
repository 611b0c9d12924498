import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  asBuffer,
  byteLengthOf,
  compareBytes,
  concatBytes,
  equalBytes,
  fromHex,
  toHex,
  u32be,
  u64be,
  utf8
} from '../../../src/util/bytes.ts'

test('asBuffer shares the bytes, and only those', () => {
  const all = Uint8Array.of(0, 1, 2, 3, 4)
  const part = asBuffer(all.subarray(1, 4))
  assert.deepEqual([...part], [1, 2, 3])
  part[0] = 9
  assert.equal(all[1], 9)
  assert.equal(asBuffer(part), part)
})

test('compareBytes orders as a database orders its keys', () => {
  const sorted = ['', '00', '0000', '01', '7f', '80', 'ff', 'ff00'].map(fromHex)
  for (const [i, a] of sorted.entries()) {
    for (const [j, b] of sorted.entries()) assert.equal(compareBytes(a, b), Math.sign(i - j))
  }
  assert.ok(equalBytes(Uint8Array.of(1, 2), Buffer.from([1, 2])))
  assert.ok(!equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0)))
  assert.ok(!equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)))
})

test('hex is written and read, and other text is refused', () => {
  assert.equal(toHex(Uint8Array.of(0, 0xab, 0xff)), '00abff')
  assert.deepEqual([...fromHex('00ABff')], [0, 0xab, 0xff])
  for (const bad of ['0', 'zz', '00zz', '00 11', '0x00']) assert.throws(() => fromHex(bad), RangeError, bad)
})

test('integers are written big-endian, and those that do not fit are refused', () => {
  assert.equal(toHex(u32be(0x01020304)), '01020304')
  assert.equal(toHex(u64be(0x0102030405060708n)), '0102030405060708')
  assert.equal(toHex(u64be(1)), '0000000000000001')
  for (const bad of [-1, 2 ** 32]) assert.throws(() => u32be(bad), RangeError)
  for (const bad of [-1n, 1n << 64n, 0.5]) assert.throws(() => u64be(bad), RangeError)
})

test('concatBytes joins parts, and byteLengthOf measures them', () => {
  const parts = [utf8('ä'), new Uint8Array(0), utf8('b')]
  assert.equal(byteLengthOf(parts), 3)
  assert.equal(toHex(concatBytes(...parts)), 'c3a462')
  assert.equal(byteLengthOf([]), 0)
})
