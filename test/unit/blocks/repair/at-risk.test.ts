import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { KEEP_CIDS_MAX } from '../../../../src/blocks/constants.ts'
import { Ranking } from '../../../../src/blocks/rank.ts'
import { AtRisk } from '../../../../src/blocks/repair/at-risk.ts'
import { IndexDb } from '../../../../src/disk/index-db.ts'
import { type BlockCid, nameBlock } from '../../../../src/format/cid.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { MemoryDatabase } from '../../../fixtures/memory-database.ts'
import { settle } from '../../../fixtures/pass-time.ts'
import { peerOf, viewOf } from '../../../fixtures/views.ts'

const [self, gone, heir] = [1, 2, 3].map(peerOf) as [string, string, string]
const cids = Array.from({ length: 3 * KEEP_CIDS_MAX }, (_, i) => nameBlock(Buffer.from(`chunk ${i}`)))
const record = { id: Buffer.alloc(32), root: nameBlock(Buffer.from('root')), replicas: 2, author: self }

/**
 * A member whose only partner has gone out, with enough chunks for three questions. The heir may have copies of them.
 */
async function setup(t: TestContext, answer: (asked: readonly BlockCid[]) => Promise<boolean[]>) {
  const clock = new ManualClock()
  const index = new IndexDb(new MemoryDatabase().asDatabase, silentLogger)
  await index.open()
  const now = viewOf(1, 3)
  const asked: number[] = []
  const atRisk = new AtRisk({
    self,
    index,
    clock,
    logger: silentLogger,
    local: { has: async () => true },
    storeClient: {
      hasBlocks: async (peer, blocks) => {
        assert.equal(peer, heir)
        asked.push(blocks.length)
        return answer(blocks)
      }
    },
    ranking: () => new Ranking(now),
    admitted: () => [self, heir],
    isBusy: () => false,
    onError: error => assert.fail(error as Error)
  })
  await atRisk.start()
  t.after(() => atRisk.worker.stop())
  atRisk.beginRound(viewOf(1, 2), now)
  await atRisk.noteHere(record, cids)
  assert.equal(atRisk.blocks, cids.length, `${gone} had all other copies`)
  return { atRisk, clock, asked }
}

test('blocks are at risk until an owner says that it has them, and are asked about in steps with a rest', async t => {
  const { atRisk, clock, asked } = await setup(t, async blocks => {
    clock.advance(1_000)
    return blocks.map(() => true)
  })
  atRisk.retry()
  await settle(20)
  assert.deepEqual([asked.length, atRisk.blocks], [1, 2 * KEEP_CIDS_MAX])
  clock.advance(2_999)
  await settle(20)
  assert.equal(asked.length, 1)
  clock.advance(1)
  await settle(20)
  clock.advance(3_000)
  await settle(20)
  assert.deepEqual([asked.length, atRisk.blocks], [3, 0])
})

test('a member that does not answer is asked once in a round, not again for each step', async t => {
  const { atRisk, asked } = await setup(t, async () => {
    throw new Error('it is silent')
  })
  atRisk.retry()
  await settle(40)
  assert.deepEqual([asked.length, atRisk.blocks], [1, cids.length])
  atRisk.retry()
  await settle(40)
  assert.equal(asked.length, 2)
})
