import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Claims, putIdOf } from '../../../../src/blocks/hold/claims.ts'
import { Holds } from '../../../../src/blocks/hold/holds.ts'
import { ReferenceLookup } from '../../../../src/blocks/hold/reference-lookup.ts'
import { possessionProofOf } from '../../../../src/blocks/protocol/proof.ts'
import { type CopyPlan, planCopy } from '../../../../src/blocks/repair/copy-plan.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { peerIdOf } from '../../../../src/format/peer-id.ts'
import type { ViewMember } from '../../../../src/members/view.ts'
import { freerOf, openClaims } from '../../../fixtures/claims-store.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const bytes = Buffer.from('a chunk')
const cid = nameBlock(bytes)
const nonce = Buffer.alloc(32, 7)
const other: ViewMember = {
  peer: 'other',
  key: Buffer.alloc(32),
  weight: 1,
  zone: null,
  isDraining: false,
  isOut: false,
  isFull: false,
  canRead: true
}
const recordOf = (n: number) => ({ by: 'record', id: Buffer.alloc(32, n), replicas: 1 }) as const

/** A chunk on this disk that a record needs, and a plan to free it that another member has proven. */
async function setup() {
  const open = await openClaims()
  const { clock, claims, local } = open
  const holds = new Holds(clock)
  await local.keep(cid, bytes, () => claims.add([Claims.reference(cid.multihash.bytes, recordOf(1))]))
  const plan = async ({ monotonicAtMs = clock.monotonic() } = {}): Promise<CopyPlan> => {
    const referrers = await new ReferenceLookup(claims).of(cid.multihash.bytes)
    const plannedAt = { wallAtMs: clock.now(), monotonicAtMs }
    const chunk = { cid, parent: null, chunkIndex: 0 }
    const made = planCopy(chunk, { reason: 'evict', plannedAt, referrers, ranked: [other], self: 'self' })
    const proof = possessionProofOf(nonce, 'self', 'other', bytes)
    made.proofs.set('other', { nonce, proof, askedAt: holds.order })
    return made
  }
  return { ...open, holds, plan, ...freerOf(open, { holds }) }
}

test('a plan that is proven frees the chunk, once', async () => {
  const { freer, plan, local } = await setup()
  const made = await plan()
  assert.equal(await freer.execute(made), undefined)
  assert.ok(!(await local.has(cid)))
  assert.ok(await freer.execute(made))
})

test('a plan older than half an hour by either clock frees nothing', async () => {
  const { clock, freer, plan, local } = await setup()
  for (const pass of [() => clock.advance(30 * MINUTE + 1), () => clock.jump(30 * MINUTE + 1)]) {
    const made = await plan()
    pass()
    assert.equal(await freer.execute(made), 'its plan is too old')
  }
  const made = await plan()
  clock.advance(30 * MINUTE)
  assert.equal(await freer.execute(made), undefined)
  assert.ok(!(await local.has(cid)))
})

test('a plan frees nothing once a put, another record or a promise needs the chunk', async () => {
  const { claims, freer, plan, holds } = await setup()
  const put = putIdOf(peerIdOf(Buffer.alloc(32, 1)), Buffer.alloc(16, 1))
  const first = await plan()
  await claims.claimForPut(put, [cid.multihash.bytes], HOUR)
  assert.match((await freer.execute(first)) ?? '', /a put needs it/)
  await claims.add(await claims.endOps(put, [cid.multihash.bytes]))
  const second = await plan()
  await claims.add([Claims.reference(cid.multihash.bytes, recordOf(2))])
  assert.equal(await freer.execute(second), 'other records need it than before')
  const third = await plan()
  holds.grant(cid, 'other', HOUR)
  assert.equal(await freer.execute(third), 'another member relies on it')
  assert.equal(await freer.execute(await plan()), undefined, 'it has its own copy, and was asked after the promise')
})

test('a chunk whose bytes are bad here, or whose proof is of other bytes, stays', async () => {
  const { freer, plan } = await setup()
  const made = await plan()
  made.proofs.set('other', { nonce, proof: possessionProofOf(nonce, 'self', 'other', Buffer.from('x')), askedAt: 0 })
  assert.equal(await freer.execute(made), 'too few proofs are valid')
})
