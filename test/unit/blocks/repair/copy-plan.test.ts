import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReferringRecord } from '../../../../src/blocks/hold/reference-lookup.ts'
import { possessionProofOf } from '../../../../src/blocks/protocol/proof.ts'
import {
  type CopyPlan,
  type CopyReason,
  nextToAsk,
  planCopy,
  provenBy
} from '../../../../src/blocks/repair/copy-plan.ts'
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

interface PlanOptions {
  isInPut?: boolean
  isCut?: boolean
  records?: number
  reason?: CopyReason
  /** The rank of this member; undefined if it stores nothing. */
  at?: number | undefined
}

/** Plans a chunk of a record that wants some copies, on a member that ranks second unless the test says otherwise. */
function plan(replicas: number, others: ViewMember[], options: PlanOptions = {}): CopyPlan {
  const { isInPut = false, isCut = false, records = 1, reason = 'evict' } = options
  const at = 'at' in options ? options.at : 1
  const root = cid.multihash.bytes
  const ids = Array.from({ length: records }, (_, i): [string, ReferringRecord] => [`${i}`, { replicas, root }])
  const ranked = at === undefined ? others : others.toSpliced(at, 0, member('self'))
  const referrers = { records: new Map(ids), isInPut, isCut }
  return planCopy(chunk, { reason, plannedAt: { wallAtMs: 0, monotonicAtMs: 0 }, referrers, ranked, self: 'self' })
}

function give(candidate: CopyPlan, peer: string, proof: Uint8Array): void {
  candidate.proofs.set(peer, { nonce, proof, askedAt: 3 })
}

function isProven(candidate: CopyPlan): boolean {
  return provenBy(candidate, 'self', bytes) !== undefined
}

function prove(candidate: CopyPlan, ...peers: string[]): void {
  for (const peer of peers) give(candidate, peer, possessionProofOf(nonce, 'self', peer, bytes))
}

function lack(candidate: CopyPlan, ...peers: string[]): void {
  for (const peer of peers) give(candidate, peer, new Uint8Array(0))
}

test('the first others in rank are asked, as many as copies are wanted', () => {
  const candidate = plan(2, [member('a'), member('b'), member('c')])
  assert.deepEqual(nextToAsk(candidate), ['a', 'b'])
  prove(candidate, 'a')
  assert.deepEqual(nextToAsk(candidate), ['b'])
  prove(candidate, 'b')
  assert.deepEqual(nextToAsk(candidate), [])
  assert.ok(isProven(candidate))
})

test('if fewer others owe the chunk than copies are wanted, all of them must prove it', () => {
  const candidate = plan(Number.POSITIVE_INFINITY, [member('a'), member('b')])
  assert.deepEqual(nextToAsk(candidate), ['a', 'b'])
  prove(candidate, 'a')
  assert.ok(!isProven(candidate))
})

test('a chunk that no other owes, that a put needs, or that too many records need must stay', () => {
  assert.equal(nextToAsk(plan(2, [])), 'must-stay')
  assert.equal(nextToAsk(plan(2, [member('a'), member('b')], { isInPut: true })), 'must-stay')
  assert.equal(nextToAsk(plan(2, [member('a'), member('b')], { records: 65 })), 'must-stay')
  assert.equal(nextToAsk(plan(2, [member('a'), member('b')], { isCut: true })), 'must-stay')
  assert.equal(nextToAsk(plan(2, [member('a'), member('b')], { records: 0 })), 'must-stay')
})

test('if a full member lacks the chunk, the next in rank is asked too', () => {
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
  assert.ok(!isProven(candidate))
  prove(candidate, 'd')
  assert.ok(isProven(candidate))
  assert.equal(nextToAsk(plan(2, [member('a', blind), member('b', blind)])), 'must-stay')
})

test('a proof of other bytes, or of another member, counts for nothing', () => {
  const candidate = plan(1, [member('a'), member('b')])
  give(candidate, 'a', possessionProofOf(nonce, 'self', 'a', Buffer.from('other bytes')))
  assert.ok(!isProven(candidate))
  give(candidate, 'a', possessionProofOf(nonce, 'self', 'b', bytes))
  assert.ok(!isProven(candidate))
  prove(candidate, 'a')
  assert.ok(isProven(candidate))
})

test('the members that proved a chunk are listed with the promises that were made when they were asked', () => {
  const candidate = plan(2, [member('a'), member('b'), member('c')])
  prove(candidate, 'a', 'b')
  lack(candidate, 'c')
  assert.deepEqual(
    [...provenBy(candidate, 'self', bytes)!],
    [
      ['a', 3],
      ['b', 3]
    ]
  )
})

test('a copy is surplus on a member that does not owe it, once the members above it in rank prove theirs', () => {
  const three = [member('a'), member('b'), member('c')]
  const surplus = { reason: 'surplus' } as const
  assert.equal(nextToAsk(plan(2, three, { ...surplus, at: 1 })), 'must-stay', 'it owes the chunk')
  assert.equal(
    nextToAsk(plan(Number.POSITIVE_INFINITY, three, { ...surplus, at: 3 })),
    'must-stay',
    'all owe the chunk'
  )
  const candidate = plan(2, three, { ...surplus, at: 2 })
  assert.deepEqual(nextToAsk(candidate), ['a', 'b'])
  lack(candidate, 'b')
  assert.equal(nextToAsk(candidate), 'must-stay', 'a member below it in rank does not stand in')
})

test('a member that stores nothing has only surplus copies, for which all other members may stand in', () => {
  const surplus = { reason: 'surplus', at: undefined } as const
  assert.deepEqual(nextToAsk(plan(2, [member('a'), member('b'), member('c')], surplus)), ['a', 'b'])
  assert.deepEqual(nextToAsk(plan(Number.POSITIVE_INFINITY, [member('a'), member('b')], surplus)), ['a', 'b'])
  assert.equal(nextToAsk(plan(2, [], surplus)), 'must-stay')
})
