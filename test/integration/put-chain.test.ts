import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { CHAIN_LOOK_MS, SILENCE_MS } from '../../src/blocks/constants.ts'
import { BlockCluster, type BlockMember } from '../fixtures/block-cluster.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { whileTimePasses } from '../fixtures/pass-time.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const CHUNK = 64 << 10
const CHUNKS = 32
const FILE_BYTES = CHUNKS * CHUNK
/** A message takes this long, and a stream holds 256 KiB, so each member is sent 5 MB/s. */
const DELAY_MS = 50
const chance = seededChance(43)

/** A writer and two other members. A first put has shown the writer how thin its uplink is. */
async function start(t: TestContext, prepare: (others: BlockMember[]) => void = () => {}) {
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, 3)
  cluster.network.delayMs = DELAY_MS
  t.after(() => {
    cluster.network.delayMs = 0
    return cluster.stop()
  })
  const [writer, ...others] = cluster.members as [BlockMember, ...BlockMember[]]
  prepare(others)
  /** Puts a file, and returns how many bytes left the writer and how long it took. */
  const put = async (options: { replicas: number; ack?: number }) => {
    const [sentBytes, startedAtMs] = [writer.host.sentBytes, clock.now()]
    const bytes = chance.bytes(FILE_BYTES)
    const { record, outcome } = await whileTimePasses(clock, writer.put(bytes, options), { stepMs: DELAY_MS })
    return { record, outcome, sent: (writer.host.sentBytes - sentBytes) / FILE_BYTES, ms: clock.now() - startedAtMs }
  }
  const first = await put({ replicas: 3, ack: 3 })
  return { clock, cluster, others, first, put }
}

test('over a thin uplink a file goes out once, and its keepers pass it on', async t => {
  const { cluster, first, put } = await start(t)
  const second = await put({ replicas: 3, ack: 3 })
  for (const { outcome } of [first, second]) {
    assert.deepEqual([outcome.reached.length, outcome.confirmed, outcome.owedBlocks], [3, 3, 0])
  }
  // Until it was known how thin the uplink is, some blocks went to all members.
  assert.ok(first.sent < 1.7, `${first.sent}`)
  assert.ok(second.sent < 1.25, `${second.sent}`)
  for (const member of cluster.members) {
    assert.equal(await member.count(), 2 * (CHUNKS + 1))
    assert.deepEqual([...member.faults, ...member.errors], [])
  }
})

test('a keeper that says that it has blocks and delivers none costs nothing but time', async t => {
  const { cluster, put } = await start(t, ([liar]) => {
    liar?.host.handle('/dfs/get/1.0.0', stream => stream.abort(new Error('nothing here')))
  })
  const { outcome } = await put({ replicas: 3, ack: 3 })
  assert.deepEqual([outcome.reached.length, outcome.confirmed, outcome.owedBlocks], [3, 3, 0])
  for (const member of cluster.members) assert.equal(await member.count(), 2 * (CHUNKS + 1))
})

test('a keeper that freezes holds up those that wait for its blocks no longer than until it is noticed', async t => {
  const { cluster, others, first, put } = await start(t)
  const [frozen, other] = others as [BlockMember, BlockMember]
  cluster.silence(frozen)
  const { outcome, ms } = await put({ replicas: 3 })
  assert.ok(outcome.reached.includes(other.peer))
  assert.equal(outcome.confirmed, 2)
  assert.ok(ms < first.ms + SILENCE_MS + 2 * CHAIN_LOOK_MS + 2_000, `${ms} ms, and ${first.ms} ms before`)
})
