import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitmap } from '../../../../src/blocks/bitmap.ts'
import { planCopy } from '../../../../src/blocks/repair/copy-plan.ts'
import { ProofCollector } from '../../../../src/blocks/repair/proof-collector.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import type { ViewMember } from '../../../../src/members/view.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'

const cid = nameBlock(Buffer.from('a chunk'))
const rest = { weight: 1, zone: null, isDraining: false, isOut: false, isFull: false, canRead: true }
const ranked: ViewMember[] = ['a', 'b', 'self'].map(peer => ({ peer, key: Buffer.from(peer), ...rest }))
const referrers = {
  records: new Map([['00', { replicas: 2, root: cid.multihash.bytes }]]),
  isInPut: false,
  isCut: false
}

/**
 * Collects the proofs for one chunk; `a` and `b` must prove that they have copies. Returns the members that were asked,
 * and the plan.
 */
async function collect(admitted: string[]) {
  const plan = planCopy(
    { cid, parent: null, chunkIndex: 0 },
    { reason: 'evict', plannedAt: { wallAtMs: 0, monotonicAtMs: 0 }, referrers, ranked, self: 'self' }
  )
  const asked: string[] = []
  const collector = new ProofCollector({
    clock: new ManualClock(),
    chance: seededChance(1),
    log: silentLogger.forComponent('test'),
    storeClient: {
      holdRoot: async peer => {
        asked.push(peer)
        return { lacking: new Bitmap(), proofs: new Uint8Array(32) }
      }
    },
    holds: { order: 0 },
    admitted: () => admitted,
    viewId: () => new Uint8Array(32)
  })
  await collector.collect(cid, [plan], undefined)
  return { asked, plan }
}

test('every member that must prove a chunk is asked', async () => {
  const { asked, plan } = await collect(['self', 'a', 'b'])
  assert.deepEqual([asked.sort(), plan.mustStay, plan.proofs.size], [['a', 'b'], false, 2])
})

test('nobody is asked to promise a chunk that stays because another member is away', async () => {
  const { asked, plan } = await collect(['self', 'a'])
  assert.deepEqual([asked, plan.mustStay], [[], true])
})
