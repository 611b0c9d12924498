import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitmap } from '../../../../src/blocks/bitmap.ts'
import { ReplicaCounts } from '../../../../src/blocks/put/counts.ts'

function countsOf(chunkCount: number): ReplicaCounts {
  const counts = new ReplicaCounts()
  counts.chunkCount = chunkCount
  return counts
}

test('a file has as many copies as its chunk with the fewest, on members that acknowledged', () => {
  const counts = countsOf(3)
  for (const chunkIndex of [0, 1, 2]) counts.count('a', chunkIndex)
  for (const chunkIndex of [0, 2]) counts.count('b', chunkIndex)
  assert.equal(counts.leastCopies(new Set(['a', 'b']), 1), 2)
  assert.equal(counts.leastCopies(new Set(['a']), 0), 1)
  assert.equal(counts.leastCopies(new Set(), 1), 1)
  const lacking = new Bitmap()
  lacking.add(1)
  counts.discount('a', lacking)
  assert.equal(counts.leastCopies(new Set(['a', 'b']), 1), 1)
  counts.drop('b')
  assert.deepEqual(counts.peers, ['a'])
  counts.countAll('b')
  assert.equal(counts.chunksOf('b')?.size, 3)
})

test('a copy is owed if rank asks for it and its member has not acknowledged, whatever surplus copies there are', () => {
  const counts = countsOf(2)
  for (const chunkIndex of [0, 1]) counts.expect('owner', chunkIndex)
  for (const chunkIndex of [0, 1]) counts.count('stranger', chunkIndex)
  assert.equal(counts.owed(new Set(['stranger'])), 2)
  counts.count('owner', 0)
  assert.equal(counts.owed(new Set(['stranger'])), 2, 'it has not acknowledged the record')
  assert.equal(counts.owed(new Set(['owner'])), 1)
  counts.releaseDebt('owner', 1)
  assert.equal(counts.owed(new Set(['owner'])), 0)
})
