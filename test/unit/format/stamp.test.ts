import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../../../src/format/errors.ts'
import {
  compareStamps,
  decodeHlc,
  encodeHlc,
  hlcAfter,
  hlcAt,
  hlcMs,
  NO_INCARNATION,
  type Stamp
} from '../../../src/format/stamp.ts'
import { toHex } from '../../../src/util/bytes.ts'

test('an hlc has 48 bits of milliseconds and 16 bits of counter, big-endian', () => {
  const hlc = hlcAt(0x0123456789ab, 0xcdef)
  assert.equal(toHex(encodeHlc(hlc)), '0123456789abcdef')
  assert.equal(decodeHlc(encodeHlc(hlc)), hlc)
  assert.equal(hlcMs(hlc), 0x0123456789ab)
  assert.equal(hlcAt(1.9), hlcAt(1))
  assert.equal(hlcAt(-5), 0n)
})

test('an hlc is read from eight bytes, wherever they are in memory', () => {
  const pool = Buffer.alloc(64, 0xff)
  for (const length of [0, 4, 7, 9, 16]) assert.throws(() => decodeHlc(pool.subarray(3, 3 + length)), FormatError)
  pool.set(encodeHlc(5n), 3)
  assert.equal(decodeHlc(pool.subarray(3, 11)), 5n)
})

test('hlcAfter comes after all of the past, and follows the clock where it can', () => {
  assert.equal(hlcAfter(1000), hlcAt(1000))
  assert.equal(hlcAfter(1000, hlcAt(500), hlcAt(999, 0xffff)), hlcAt(1000))
  assert.equal(hlcAfter(1000, hlcAt(1000)), hlcAt(1000, 1))
  assert.equal(hlcAfter(1000, hlcAt(2000, 7), hlcAt(1500)), hlcAt(2000, 8))
  assert.equal(hlcAfter(1000, hlcAt(1000, 0xffff)), hlcAt(1001))
})

test('hlcAfter returns the greatest hlc again, since it has no successor', () => {
  const last = (1n << 64n) - 1n
  assert.equal(hlcAfter(1000, last), last)
  encodeHlc(last)
})

test('stamps are ordered by time, then author, then incarnation', () => {
  const stamp = (hlc: bigint, author: number, incarnation: number): Stamp => ({
    hlc,
    author: Buffer.alloc(32, author),
    incarnation: Buffer.alloc(8, incarnation)
  })
  const sorted = [stamp(1n, 9, 9), stamp(2n, 1, 9), stamp(2n, 2, 1), stamp(2n, 2, 2), stamp(1n << 60n, 0, 0)]
  for (const [i, a] of sorted.entries()) {
    for (const [j, b] of sorted.entries()) assert.equal(Math.sign(compareStamps(a, b)), Math.sign(i - j))
  }
  assert.equal(NO_INCARNATION.byteLength, 8)
})
