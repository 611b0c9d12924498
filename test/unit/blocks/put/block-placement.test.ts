import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BlockPlacement, type Candidates } from '../../../../src/blocks/put/block-placement.ts'
import { ReplicaCounts } from '../../../../src/blocks/put/counts.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const self = 'self'

function placementOf({ needed = 1, ...some }: Partial<Candidates> & { needed?: number }) {
  const counts = new ReplicaCounts()
  counts.chunkCount = 1
  const candidates = { owners: new Set<string>(), nextInRank: [], first: [], rest: [], ...some }
  const placement = new BlockPlacement({
    self,
    candidates,
    needed,
    listener: {
      onChunk: () => {},
      onOwed: (peer, chunkIndex) => counts.expect(peer, chunkIndex),
      onReleased: (peer, chunkIndex) => counts.releaseDebt(peer, chunkIndex),
      onKept: (peer, chunkIndex) => counts.count(peer, chunkIndex)
    }
  })
  placement.addChunk(0)
  return { placement, counts }
}

async function isEnough({ enough }: BlockPlacement): Promise<boolean> {
  let isOver = false
  void enough.then(() => {
    isOver = true
  })
  await settle(1)
  return isOver
}

test('the owners are asked, and as many of the others as are needed beside them', () => {
  const owners = new Set(['a'])
  assert.deepEqual(placementOf({ owners, first: ['a'], rest: ['b', 'c'], needed: 2 }).placement.begin(), ['a', 'b'])
  assert.deepEqual(placementOf({ owners, first: ['a'], rest: ['b', 'c'], needed: 0 }).placement.begin(), ['a'])
})

test('a put waits until enough members keep the block, or nobody is left to ask', async () => {
  const { placement, counts } = placementOf({ owners: new Set(['a', 'b']), first: ['a', 'b'], rest: ['c'], needed: 2 })
  placement.begin()
  assert.equal(placement.answer('a', 'kept'), undefined)
  assert.equal(await isEnough(placement), false)
  assert.equal(placement.answer('b', 'failed'), 'c')
  assert.equal(await isEnough(placement), false)
  assert.equal(placement.answer('c', 'refused'), undefined)
  assert.equal(await isEnough(placement), true)
  assert.deepEqual([...placement.keptBy], ['a'])
  assert.deepEqual(counts.peers, ['a'])
})

test('a put does not wait if no member is needed, or none can be asked', async () => {
  for (const some of [{ owners: new Set(['a']), first: ['a'], needed: 0 }, { needed: 1 }]) {
    const { placement } = placementOf(some)
    placement.begin()
    assert.equal(await isEnough(placement), true)
  }
})

test('a member that is behind is replaced only if the put would wait for it', () => {
  const needed = placementOf({ owners: new Set(['a']), first: ['a'], rest: ['b'] }).placement
  needed.begin()
  assert.equal(needed.answer('a', 'behind'), 'b')
  const surplus = placementOf({ owners: new Set(['a', 'b']), first: ['a', 'b'], rest: ['c'] }).placement
  surplus.begin()
  assert.equal(surplus.answer('a', 'behind'), undefined)
})

test('what a full owner owes moves to the next in rank, even if another member is asked in its place', () => {
  const { placement, counts } = placementOf({ owners: new Set(['a']), nextInRank: ['away'], first: ['a'], rest: ['b'] })
  placement.begin()
  assert.equal(placement.answer('a', 'full'), 'b')
  placement.answer('b', 'kept')
  assert.equal(counts.owed(new Set()), 1)
  counts.count('away', 0)
  assert.equal(counts.owed(new Set(['away'])), 0)
})

test('no other member is asked if this one inherits from a full owner and the put has enough', () => {
  const { placement, counts } = placementOf({
    owners: new Set(['a', 'b']),
    nextInRank: [self],
    first: ['a', 'b'],
    rest: ['c']
  })
  placement.begin()
  assert.equal(placement.answer('a', 'full'), undefined)
  assert.equal(counts.owed(new Set()), 1, 'only what b owes')
})

test('a block that occurs at several chunk indexes counts at each of them', () => {
  const { placement, counts } = placementOf({ owners: new Set(['a']), first: ['a'] })
  counts.chunkCount = 3
  placement.begin()
  placement.addChunk(1)
  placement.answer('a', 'kept')
  placement.addChunk(2)
  assert.equal(counts.chunksOf('a')?.size, 3)
})
