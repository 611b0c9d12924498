import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AckRule, acksWanted } from '../../../../src/blocks/put/acks-wanted.ts'
import type { Ranking } from '../../../../src/blocks/rank.ts'

const ALL = Number.POSITIVE_INFINITY

function wanted(
  rule: Partial<AckRule>,
  reachable: string[],
  { keepers = ['self', 'a', 'b'], avoided = '' } = {}
): number {
  const members = {
    self: 'self',
    ranking: () => ({ keepers, isKnown: (peer: string) => peer !== 'new' }) as unknown as Ranking,
    admitted: () => reachable,
    isAvoided: (peer: string) => peer === avoided
  }
  return acksWanted(members, { replicas: 3, isRecordOnly: false, ...rule })
}

test('an explicit number of copies is waited for, even if too few members are there', () => {
  assert.equal(wanted({ ack: 5 }, []), 5)
})

test('all means every member that keeps blocks, and those that may', () => {
  assert.equal(wanted({ ack: ALL }, ['a']), 3)
  assert.equal(wanted({ ack: ALL }, ['a', 'new']), 4)
})

test('left to itself a put waits for two copies where a second member can be reached', () => {
  assert.equal(wanted({}, ['a', 'b']), 2)
  assert.equal(wanted({}, []), 1)
  assert.equal(wanted({}, ['a'], { avoided: 'a' }), 1)
  assert.equal(wanted({ replicas: 1 }, ['a']), 1)
})

test('a member that keeps no blocks acknowledges only records without them', () => {
  const keepers = ['self']
  assert.equal(wanted({}, ['reader'], { keepers }), 1)
  assert.equal(wanted({ isRecordOnly: true }, ['reader'], { keepers }), 2)
})
