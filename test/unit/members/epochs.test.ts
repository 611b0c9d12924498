import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hlcAt } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { Epochs } from '../../../src/members/epochs.ts'
import { KeyRing } from '../../../src/members/key-ring.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { adminSecrets } from '../../fixtures/member.ts'
import { permutations } from '../../fixtures/permutations.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const clock = new ManualClock()
const chance = seededChance(5)
const [admin, other] = ['a', 'b'].map(
  name => new LocalMember(adminSecrets(Buffer.alloc(32, 7), clock, chance, name), clock, chance)
) as [LocalMember, LocalMember]
const { network } = admin

function epochAfter(previous: readonly Uint8Array[], by = admin): Statement<'epoch'> {
  const sorted = previous.toSorted(Buffer.compare)
  return by.sign('epoch', { previous: sorted, hash: chance.bytes(32), excludes: [] }, hlcAt(clock.now()))
}

// A chain of three epochs, a sibling of the second one, and an epoch that joins the two branches.
const second = epochAfter([network])
const third = epochAfter([second.id])
const beside = epochAfter([network])
const joined = epochAfter([beside.id, third.id])
const ALL = [second, third, beside, joined]

function epochsOf(
  statements: ReadonlyArray<Statement<'epoch'>>,
  isEffective = (_: Uint8Array): boolean => true
): Epochs {
  const epochs = new Epochs({ network, isEffective })
  for (const statement of statements) epochs.load([{ statement }])
  return epochs
}

test('each epoch is one deeper than the deepest of its predecessors, in whatever order the statements come', () => {
  for (const order of permutations(ALL)) {
    const epochs = epochsOf(order)
    assert.deepEqual(
      [network, ...ALL.map(({ id }) => id)].map(id => epochs.depthOf(id)),
      [0, 1, 2, 1, 3]
    )
  }
})

test('an epoch has no depth until all of its predecessors are known', () => {
  const epochs = epochsOf([joined, second, beside])
  assert.equal(epochs.depthOf(joined.id), undefined)
  epochs.load([{ statement: third }])
  assert.equal(epochs.depthOf(joined.id), 3)
  assert.equal(epochsOf([epochAfter([])]).ids.length, 1, 'an epoch without a predecessor follows no other')
})

test('an epoch that was opened under a grant which does not count has no depth, nor have those after it', () => {
  let isEffective = true
  const byOther = epochAfter([network], other)
  const after = epochAfter([byOther.id])
  const epochs = epochsOf([byOther, after], grant => isEffective || toHex(grant) !== toHex(other.grant.id))
  assert.deepEqual([epochs.depthOf(byOther.id), epochs.depthOf(after.id)], [1, 2])
  isEffective = false
  epochs.refresh()
  assert.deepEqual([epochs.depthOf(byOther.id), epochs.depthOf(after.id)], [undefined, undefined])
})

test('a member writes under the deepest epoch that it holds, whatever order the keys come in', () => {
  const epochs = epochsOf(ALL)
  const keys = [network, ...ALL.map(({ id }) => id)].map(id => ({ id, key: chance.bytes(32) }))
  for (const order of permutations(keys)) {
    const ring = new KeyRing([], epochs)
    for (const [i, { id, key }] of order.entries()) {
      ring.add(id, key)
      const held = order.slice(0, i + 1).map(key => ({ id: key.id, depth: epochs.depthOf(key.id) as number }))
      const [newest] = held.sort((a, b) => b.depth - a.depth || Buffer.compare(b.id, a.id))
      assert.deepEqual(ring.newest?.id, newest?.id)
    }
  }
})

test('a member does not write under an epoch whose place in the chain it does not know', () => {
  const epochs = epochsOf([])
  const ring = new KeyRing([{ id: network, key: chance.bytes(32) }], epochs)
  const added: string[] = []
  ring.onAdded(id => added.push(toHex(id)))
  ring.add(second.id, chance.bytes(32))
  ring.add(second.id, chance.bytes(32))
  assert.deepEqual(added, [toHex(second.id)], 'a key that is held already is not added')
  assert.deepEqual([ring.newest?.id, ring.has(second.id), ring.has(third.id)], [network, true, false])
  epochs.load([{ statement: second }])
  assert.deepEqual(ring.newest?.id, second.id)
})
