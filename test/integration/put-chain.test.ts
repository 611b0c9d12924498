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

/** A writer and other members. A first put has shown the writer how thin its uplink is. */
async function start(t: TestContext, size: number) {
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, size)
  cluster.network.delayMs = DELAY_MS
  t.after(() => {
    cluster.network.delayMs = 0
    return cluster.stop()
  })
  const [writer, ...others] = cluster.members as [BlockMember, ...BlockMember[]]
  /** Puts a file, and returns how many bytes left the writer and how long it took. */
  const put = async (options: { replicas: number; ack?: number }) => {
    const [sentBytes, startedAtMs] = [writer.host.sentBytes, clock.now()]
    const bytes = chance.bytes(FILE_BYTES)
    const { record, outcome } = await whileTimePasses(clock, writer.put(bytes, options), { stepMs: DELAY_MS })
    return { record, outcome, sent: (writer.host.sentBytes - sentBytes) / FILE_BYTES, ms: clock.now() - startedAtMs }
  }
  const first = await put({ replicas: size, ack: size })
  return { clock, cluster, others, first, put }
}

test('over a thin uplink a file goes out once, and its keepers pass it on', async t => {
  const size = 3
  const { cluster, first, put } = await start(t, size)
  const second = await put({ replicas: size, ack: size })
  for (const { outcome } of [first, second]) {
    assert.deepEqual([outcome.reached.length, outcome.confirmed, outcome.owedBlocks], [size, size, 0])
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
  const { cluster, others, put } = await start(t, 3)
  const [liar] = others as [BlockMember, BlockMember]
  liar.host.handle('/dfs/get/1.0.0', stream => stream.abort(new Error('nothing here')))
  const { outcome } = await put({ replicas: 3, ack: 3 })
  assert.deepEqual([outcome.reached.length, outcome.confirmed, outcome.owedBlocks], [3, 3, 0])
  for (const member of cluster.members) assert.equal(await member.count(), 2 * (CHUNKS + 1))
})

test('a keeper that freezes holds up those that wait for its blocks no longer than until it is noticed', async t => {
  const { cluster, others, first, put } = await start(t, 3)
  const [frozen, other] = others as [BlockMember, BlockMember]
  cluster.silence(frozen)
  const { outcome, ms } = await put({ replicas: 3 })
  assert.ok(outcome.reached.includes(other.peer))
  assert.equal(outcome.confirmed, 2)
  assert.ok(ms < first.ms + SILENCE_MS + 2 * CHAIN_LOOK_MS + 2_000, `${ms} ms, and ${first.ms} ms before`)
})

test('a keeper that takes nothing more holds up only itself, although it says that it is there', async t => {
  const { others, first, put } = await start(t, 3)
  const [slow, other] = others as [BlockMember, BlockMember]
  // It answers whether it is there, and begins no pull.
  slow.blocks.memory.pulls.acquire = (_, { signal }) =>
    new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  const { outcome, ms } = await put({ replicas: 3 })
  assert.ok(outcome.reached.includes(other.peer))
  assert.ok(ms < first.ms + SILENCE_MS + 2 * CHAIN_LOOK_MS + 2_000, `${ms} ms, and ${first.ms} ms before`)
})
