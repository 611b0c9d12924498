import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReferringRecord } from '../../../../src/blocks/hold/reference-lookup.ts'
import { possessionProofOf } from '../../../../src/blocks/protocol/proof.ts'
import { type ChunkPlan, isProven, nextToAsk, planOne } from '../../../../src/blocks/repair/evict-plan.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import type { ViewMember } from '../../../../src/members/view.ts'

const bytes = Buffer.from('a chunk')
const cid = nameBlock(bytes)
const chunk = { cid, parent: null, chunkIndex: 0 }
const nonce = Buffer.alloc(32, 7)

function member(peer: string, options: Partial<ViewMember> = {}): ViewMember {
  const rest = { weight: 1, zone: null, isDraining: false, isOut: false, isFull: false, canRead: true }
  return { peer, key: Buffer.from(peer), ...rest, ...options }
}

/** Plans a chunk of a record that wants some copies, on a member that ranks second. */
function plan(replicas: number, others: ViewMember[], { isInPut = false, records = 1 } = {}): ChunkPlan {
  const root = cid.multihash.bytes
  const ids = Array.from({ length: records }, (_, i): [string, ReferringRecord] => [`${i}`, { replicas, root }])
  const [first, ...rest] = others
  const ranked = [...(first === undefined ? [] : [first]), member('self'), ...rest]
  return planOne(chunk, { records: new Map(ids), isInPut }, ranked, 'self')
}

function prove(candidate: ChunkPlan, ...peers: string[]): void {
  for (const peer of peers) candidate.proofs.set(peer, { nonce, proof: possessionProofOf(nonce, 'self', peer, bytes) })
}

function lack(candidate: ChunkPlan, ...peers: string[]): void {
  for (const peer of peers) candidate.proofs.set(peer, { nonce, proof: new Uint8Array(0) })
}

test('the first others in rank are asked, as many as copies are wanted', () => {
  const candidate = plan(2, [member('a'), member('b'), member('c')])
  assert.deepEqual(nextToAsk(candidate), ['a', 'b'])
  prove(candidate, 'a')
  assert.deepEqual(nextToAsk(candidate), ['b'])
  prove(candidate, 'b')
  assert.deepEqual(nextToAsk(candidate), [])
  assert.ok(isProven(candidate, 'self', bytes))
})

test('if fewer others owe the chunk than copies are wanted, all of them must prove it', () => {
  const candidate = plan(Number.POSITIVE_INFINITY, [member('a'), member('b')])
  assert.deepEqual(nextToAsk(candidate), ['a', 'b'])
  prove(candidate, 'a')
  assert.ok(!isProven(candidate, 'self', bytes))
})

test('a chunk that no other owes, that a put needs, or that too many records need must stay', () => {
  assert.equal(nextToAsk(plan(2, [])), 'must-stay')
  assert.equal(nextToAsk(plan(2, [member('a'), member('b')], { isInPut: true })), 'must-stay')
  assert.equal(nextToAsk(plan(2, [member('a'), member('b')], { records: 65 })), 'must-stay')
  assert.equal(nextToAsk(plan(2, [member('a'), member('b')], { records: 0 })), 'must-stay')
})

test('a full member that lacks the chunk is followed by the next in rank', () => {
  const candidate = plan(2, [member('a', { isFull: true }), member('b'), member('c')])
  assert.deepEqual(nextToAsk(candidate), ['a', 'b'])
  lack(candidate, 'a')
  prove(candidate, 'b')
  assert.deepEqual(nextToAsk(candidate), ['c'])
  lack(candidate, 'c')
  assert.equal(nextToAsk(candidate), 'must-stay', 'it has room and lacks the chunk')
})

test('if no member that is counted can read, one more that can is asked', () => {
  const blind = { canRead: false }
  const candidate = plan(2, [member('a', blind), member('b', blind), member('c', blind), member('d')])
  assert.deepEqual(nextToAsk(candidate), ['a', 'b', 'd'])
  prove(candidate, 'a', 'b')
  assert.ok(!isProven(candidate, 'self', bytes))
  prove(candidate, 'd')
  assert.ok(isProven(candidate, 'self', bytes))
  assert.equal(nextToAsk(plan(2, [member('a', blind), member('b', blind)])), 'must-stay')
})

test('a proof of other bytes, or of another member, counts for nothing', () => {
  const candidate = plan(1, [member('a'), member('b')])
  candidate.proofs.set('a', { nonce, proof: possessionProofOf(nonce, 'self', 'a', Buffer.from('other bytes')) })
  assert.ok(!isProven(candidate, 'self', bytes))
  candidate.proofs.set('a', { nonce, proof: possessionProofOf(nonce, 'self', 'b', bytes) })
  assert.ok(!isProven(candidate, 'self', bytes))
  prove(candidate, 'a')
  assert.ok(isProven(candidate, 'self', bytes))
})
