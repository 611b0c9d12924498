import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { NotEnoughCopiesError } from '../../src/blocks/errors.ts'
import { walkManifest } from '../../src/blocks/manifest-walk.ts'
import type { RecordRef } from '../../src/blocks/record-ref.ts'
import { MAKE_ROOM_MS } from '../../src/blocks/repair/constants.ts'
import { defaultNodeCodec } from '../../src/format/manifest.ts'
import { BlockCluster, type BlockMember } from '../fixtures/block-cluster.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { timePassesUntil, whileTimePasses } from '../fixtures/pass-time.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const CHUNK = 64 << 10
const ROOM_BYTES = 48 * CHUNK
const chance = seededChance(43)

/** Members with small disks. The first one has a large disk if there are several. */
async function start(t: TestContext, size: number) {
  const clock = new ManualClock()
  const cluster = new BlockCluster(clock)
  t.after(() => cluster.stop())
  for (let i = 0; i < size; i++) await cluster.add(size > 1 && i === 0 ? {} : { capacityBytes: ROOM_BYTES })
  return { clock, cluster, members: cluster.members as [BlockMember, ...BlockMember[]] }
}

function bytesOf(chunks: number): Uint8Array {
  return chance.bytes(chunks * CHUNK - 100)
}

async function* cutOff(chunks: number): AsyncGenerator<Uint8Array> {
  yield bytesOf(chunks)
  throw new Error('cut off')
}

async function holdsAll(member: BlockMember, { root }: RecordRef): Promise<boolean> {
  const read = async (cid: RecordRef['root']) => (await member.blocks.read(cid)).bytes
  for await (const { cid } of walkManifest(root, read, defaultNodeCodec)) if (!(await member.holds(cid))) return false
  return true
}

test('blocks that a put which was cut off left on a full disk make way for the next put, and nothing else does', async t => {
  const { clock, members } = await start(t, 1)
  const [writer] = members
  const options = { replicas: 1 }
  const { record: kept } = await whileTimePasses(clock, writer.put(bytesOf(12), options))
  await assert.rejects(whileTimePasses(clock, writer.put(cutOff(20), options)), /cut off/)
  const { record: next } = await whileTimePasses(clock, writer.put(bytesOf(20), options))
  // The previous put ended a moment ago, and perhaps only its own claims keep its blocks so far.
  await assert.rejects(whileTimePasses(clock, writer.put(bytesOf(30), options)), {
    code: 'no-space',
    message: /freed again/
  })
  await timePassesUntil(clock, 'some time', () => clock.monotonic() > 2 * MAKE_ROOM_MS)
  assert.deepEqual([await holdsAll(writer, kept), await holdsAll(writer, next)], [true, true])
})

test('a put that is under way loses nothing to another one that finds the disk full', async t => {
  const { clock, members } = await start(t, 1)
  const [writer] = members
  const gate = Promise.withResolvers<void>()
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield bytesOf(20)
    await gate.promise
  }
  const first = writer.put(slow(), { replicas: 1 })
  await timePassesUntil(clock, 'it is here', async () => (await writer.count()) > 18)
  await assert.rejects(whileTimePasses(clock, writer.put(bytesOf(30), { replicas: 1 })), { code: 'no-space' })
  gate.resolve()
  const { record } = await whileTimePasses(clock, first)
  assert.ok(await holdsAll(writer, record))
})

test('a keeper whose disk is full frees what it kept for a put of another member that ended without a record', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members as [BlockMember, BlockMember]
  const options = { replicas: 2, ack: 2 }
  await assert.rejects(whileTimePasses(clock, writer.put(cutOff(30), options)), /cut off/)
  const { record, outcome } = await whileTimePasses(clock, writer.put(bytesOf(30), options))
  assert.deepEqual([outcome.reached.length, outcome.owedBlocks], [2, 0])
  assert.ok(await holdsAll(keeper, record))
  assert.deepEqual([...writer.faults, ...keeper.faults, ...writer.errors, ...keeper.errors], [])
})

test('a member without any room gets the manifests of new files all the same, so that it frees what was released', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, full] = members as [BlockMember, BlockMember]
  const { record: old } = await whileTimePasses(clock, writer.put(bytesOf(30), { replicas: 2, ack: 2 }))
  assert.ok(await holdsAll(full, old))
  full.options.capacityBytes = 20 * CHUNK
  full.options.isFull = true
  await full.restart()
  cluster.refreshView()
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(9), { replicas: 1 }))
  for (const member of [writer, full]) await member.release(old)
  await timePassesUntil(clock, 'only the manifest of the new file is left', async () => (await full.count()) === 1)
  assert.ok(await full.holds(record.root))
  assert.deepEqual(full.errors, [])
})

test('a put that lacks copies because a member is full says so', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, full] = members as [BlockMember, BlockMember]
  await assert.rejects(whileTimePasses(clock, writer.put(bytesOf(90), { replicas: 2, ack: 2 })), error => {
    assert.ok(error instanceof NotEnoughCopiesError)
    assert.deepEqual(error.full, [full.peer])
    assert.match(error.message, /without room for it: 1, see dfs df/)
    return true
  })
})
