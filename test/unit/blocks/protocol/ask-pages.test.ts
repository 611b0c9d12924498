import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitmap } from '../../../../src/blocks/bitmap.ts'
import { PAGE_CHUNKS, WALK_BATCH } from '../../../../src/blocks/constants.ts'
import { askPages, assertCovered } from '../../../../src/blocks/protocol/ask-pages.ts'
import { ProtocolError } from '../../../../src/wire/errors.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'

function bitmapOf(...bits: number[]): Bitmap {
  const bitmap = new Bitmap()
  for (const bit of bits) bitmap.add(bit)
  return bitmap
}

test('a terabyte is asked about in pages, each with an answer of its own', async () => {
  const chunks = Bitmap.full(1_000_000)
  const asked: number[] = []
  const { lacking, answers } = await askPages(chunks, { emptyToo: false }, async ({ first, chunks: page }) => {
    assert.ok(page.bytes.byteLength <= PAGE_CHUNKS / 8)
    asked.push(first)
    return { lacking: first === 131_072 ? bitmapOf(5) : new Bitmap(), covered: PAGE_CHUNKS }
  })
  assert.deepEqual(
    asked,
    Array.from({ length: 16 }, (_, i) => i * PAGE_CHUNKS)
  )
  assert.equal(answers.length, 16)
  assert.deepEqual([lacking.size, lacking.has(131_077)], [1, true])
})

test('pages without a chunk are skipped, unless they must be sent too', async () => {
  const chunks = bitmapOf(3, 3 * PAGE_CHUNKS)
  for (const [emptyToo, expected] of [
    [false, [0, 3 * PAGE_CHUNKS]],
    [true, [0, PAGE_CHUNKS, 2 * PAGE_CHUNKS, 3 * PAGE_CHUNKS]]
  ] as const) {
    const asked: number[] = []
    await askPages(chunks, { emptyToo }, async ({ first }) => {
      asked.push(first)
      return { lacking: new Bitmap(), covered: PAGE_CHUNKS }
    })
    assert.deepEqual(asked.slice(0, expected.length), expected)
  }
})

test('whatever part of a page each answer covers, every chunk is asked about once', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const chance = seededChance(seed)
    const number = (max: number): number => 1 + (Buffer.from(chance.bytes(4)).readUInt32BE() % max)
    const count = number(150_000)
    const chunks = Bitmap.full(count)
    const lackingBits = new Set(Array.from({ length: 50 }, () => number(count) - 1))
    const seen = new Bitmap()
    const { lacking } = await askPages(chunks, { emptyToo: false }, async ({ first, chunks: page }) => {
      const covered = Math.min(number(40_000), PAGE_CHUNKS - (first % PAGE_CHUNKS))
      const part = new Bitmap()
      for (let bit = 0; bit < covered; bit++) {
        if (!page.has(bit)) continue
        assert.ok(!seen.has(first + bit), 'asked about twice')
        seen.add(first + bit)
        if (lackingBits.has(first + bit)) part.add(bit)
      }
      // Bits beyond the covered part mean nothing.
      part.add(covered)
      return { lacking: part, covered }
    })
    assert.equal(seen.size, count, `seed ${seed}`)
    assert.equal(lacking.size, lackingBits.size, `seed ${seed}`)
    for (const bit of lackingBits) assert.ok(lacking.has(bit))
  }
})

test('an answer covers all chunks that it was asked about, or at least a batch of them', () => {
  const page = { first: PAGE_CHUNKS, chunks: Bitmap.full(1_000) }
  for (const covered of [WALK_BATCH, 999, 1_000, PAGE_CHUNKS]) assertCovered(page, covered)
  for (const covered of [1, WALK_BATCH - 1]) assert.throws(() => assertCovered(page, covered), ProtocolError)
  assertCovered({ first: 0, chunks: bitmapOf(3, 40) }, 41)
  assert.throws(() => assertCovered({ first: 0, chunks: bitmapOf(3, 40) }, 40), ProtocolError)
  const empty = { first: PAGE_CHUNKS + 10, chunks: new Bitmap() }
  assertCovered(empty, PAGE_CHUNKS - 10)
  assert.throws(() => assertCovered(empty, 1), ProtocolError)
})
