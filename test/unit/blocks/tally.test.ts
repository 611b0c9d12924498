import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitmap } from '../../../src/blocks/bitmap.ts'
import { Tally } from '../../../src/blocks/tally.ts'

function tallyOf(leaves: number): Tally {
  const tally = new Tally()
  tally.leaves = leaves
  return tally
}

test('the least copies over all chunks count, of those who acknowledged', () => {
  const tally = tallyOf(3)
  for (const leaf of [0, 1, 2]) tally.count('a', leaf)
  for (const leaf of [0, 2]) tally.count('b', leaf)
  assert.equal(tally.leastCopies(new Set(['a', 'b']), 1), 2)
  assert.equal(tally.leastCopies(new Set(['a']), 0), 1)
  assert.equal(tally.leastCopies(new Set(), 1), 1)
  const lacking = new Bitmap()
  lacking.add(1)
  tally.discount('a', lacking)
  assert.equal(tally.leastCopies(new Set(['a', 'b']), 1), 1)
  tally.drop('b')
  assert.deepEqual(tally.peers, ['a'])
  tally.countAll('b')
  assert.equal(tally.of('b')?.size, 3)
})

test('owed is what rank asks for and nobody acknowledged, surplus copies aside', () => {
  const tally = tallyOf(2)
  for (const leaf of [0, 1]) tally.expect('owner', leaf)
  for (const leaf of [0, 1]) tally.count('stranger', leaf)
  assert.equal(tally.owed(new Set(['stranger'])), 2)
  tally.count('owner', 0)
  assert.equal(tally.owed(new Set(['stranger'])), 2, 'it has not acknowledged the record')
  assert.equal(tally.owed(new Set(['owner'])), 1)
  tally.excuse('owner', 1)
  assert.equal(tally.owed(new Set(['owner'])), 0)
})
