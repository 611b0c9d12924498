import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../../src/util/bytes.ts'
import { systemChance } from '../../../src/util/chance.ts'

test('chance returns as many bytes as asked for, never the same twice', () => {
  assert.equal(systemChance.bytes(0).byteLength, 0)
  const drawn = new Set(Array.from({ length: 1000 }, () => toHex(systemChance.bytes(16))))
  assert.equal(drawn.size, 1000)
})

test('fractions are in [0, 1)', () => {
  for (let i = 0; i < 1000; i++) {
    const fraction = systemChance.fraction()
    assert.ok(fraction >= 0 && fraction < 1)
  }
})
