import assert from 'node:assert/strict'
import { test } from 'node:test'
import { orderSources, type SourceOrderOptions } from '../../../../src/blocks/fetch/source-order.ts'

const ranked = ['a', 'b', 'c', 'd', 'out', 'draining']

function order(options: Partial<SourceOrderOptions> & { avoided?: string[]; costs?: Record<string, number> }) {
  const { avoided = [], costs = {}, ...rest } = options
  const health = { isAvoided: (peer: string) => avoided.includes(peer), costMs: (peer: string) => costs[peer] ?? 50 }
  const reachable = new Set(ranked)
  return orderSources({ ranked, replicas: 2, author: undefined, reachable, health, ...rest }).join(' ')
}

test('the author comes after those that owe the block, and before all others', () => {
  assert.equal(order({ author: 'draining' }), 'a b draining c d out')
  assert.equal(order({ author: 'd' }), 'a b d c out draining')
  assert.equal(order({ author: 'b' }), 'a b c d out draining')
  assert.equal(order({ author: 'gone' }), 'a b c d out draining')
})

test('of those that owe the block the fastest comes first, and the others keep their rank', () => {
  assert.equal(order({ costs: { a: 90, b: 10, d: 1 } }), 'b a c d out draining')
  assert.equal(order({ replicas: 4, costs: { a: 90, b: 10, d: 1 } }), 'd b c a out draining')
  assert.equal(order({ replicas: Number.POSITIVE_INFINITY, costs: { out: 1 } }), 'out a b c d draining')
})

test('members that cannot be reached are left out, and one that is not in the view yet comes last', () => {
  assert.equal(order({ reachable: new Set(['d', 'new', 'b']) }), 'b d new')
})

test('a member that is avoided comes last, even if it is the author', () => {
  assert.equal(order({ avoided: ['a', 'out'], author: 'out' }), 'b c d draining a out')
})
