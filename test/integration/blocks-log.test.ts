import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { toHex } from '../../src/util/bytes.ts'
import { BlockCluster, type BlockMember } from '../fixtures/block-cluster.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { RecordingLogger } from '../fixtures/logger.ts'
import { settle, timePassesUntil, whileTimePasses } from '../fixtures/pass-time.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const CHUNK = 64 << 10
const MINUTE = 60_000
const ALL = Number.POSITIVE_INFINITY
const bytes = seededChance(44).bytes(6 * CHUNK - 100)

/** Two members, and a third whose log is recorded. */
async function start(t: TestContext) {
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, 2)
  t.after(() => cluster.stop())
  const recorded = new RecordingLogger()
  cluster.logger = recorded
  const watched = await cluster.add()
  const [writer] = cluster.members as [BlockMember]
  /** The lines that one component logged since the last call, with ids but without traces. */
  const said = (component: string): string[] => {
    const lines = recorded.lines.filter(line => line.startsWith(`dfs:blocks:${component} `))
    recorded.lines.length = 0
    return lines.map(line => line.slice(`dfs:blocks:${component} `.length))
  }
  return { clock, cluster, writer, watched, said }
}

test('the log of a member that comes back tells which blocks were missing and that it has them now', async t => {
  const { clock, cluster, writer, watched, said } = await start(t)
  cluster.isolate(watched)
  const { record } = await whileTimePasses(clock, writer.put(bytes, { replicas: ALL, ack: 2 }))
  said('repair')
  await watched.stand(record)
  await settle()
  const id = toHex(record.id).slice(0, 8)
  assert.deepEqual(said('repair'), [
    `record ${id}: cannot walk its whole manifest: BlockUnreachableError: a part of this file is on no member that can be reached: try again when more members are connected`,
    `record ${id}: missing chunks: 0, missing manifest nodes: 1`
  ])
  await cluster.heal(watched)
  await timePassesUntil(clock, 'it has all', () => watched.blocks.owed.blocks === 0)
  await settle()
  // It was connected to two members, and tried again for each. Either may have delivered any chunk.
  const lines = said('repair').map(line => line.replace(/(?<=pulled chunks from ).*/, '…'))
  assert.deepEqual(
    [...new Set(lines)],
    ['looks for missing blocks: 1', `record ${id}: pulled chunks from …`, `record ${id}: nothing is missing any more`]
  )
})

test('the log of a keeper tells what a put counts on it for, and that it confirmed the record', async t => {
  const { clock, writer, watched, said } = await start(t)
  await whileTimePasses(clock, writer.put(bytes, { replicas: ALL, ack: 3 }))
  await settle()
  const lines = said('keep')
  assert.match(lines[0] as string, /^put [0-9a-f]{8} of \w+, root [0-9a-f]{8}: chunks counted on us: 6, here: 6$/)
  assert.match(lines[1] as string, /^put [0-9a-f]{8} of \w+: confirms its record [0-9a-f]{8} with root [0-9a-f]{8}$/)
  assert.ok(lines.every(line => !line.includes(watched.peer)))
})

test('the log of a put that waits names the members that it waits for, and says once that it asks nobody', async t => {
  const { clock, cluster, writer, watched, said } = await start(t)
  const [, other] = cluster.members as [BlockMember, BlockMember]
  cluster.isolate(other)
  const { promise: pushed, resolve } = Promise.withResolvers<void>()
  writer.onPush = () => pushed
  const slow = watched.put(bytes, { replicas: 2, ack: 2 })
  await timePassesUntil(clock, 'it says for whom it waits', () =>
    said('acknowledgement').some(line => line.endsWith(`: 1 of 2 copies are durable, waits for ${writer.peer}`))
  )
  resolve()
  await whileTimePasses(clock, slow)
  cluster.isolate(writer)
  said('acknowledgement')
  await assert.rejects(whileTimePasses(clock, watched.put(bytes, { replicas: 2, ack: 2 })), { code: 'unreachable' })
  const lines = said('acknowledgement').map(line => line.replace(/^record [0-9a-f]{8}: /, ''))
  assert.equal(lines.filter(line => line === '1 of 2 copies are durable, asks no other member').length, 1)
  assert.ok(lines.includes('no, durable copies: 1 of 2 (the caller asked for 2)'))
})

test('the log of an evict tells how much was freed, and that of a put that lost a keeper tells what is owed', async t => {
  const { clock, cluster, writer, watched, said } = await start(t)
  const { record } = await whileTimePasses(clock, writer.put(bytes, { replicas: 2 }))
  await timePassesUntil(clock, 'nothing is owed', () => cluster.members.every(({ blocks }) => blocks.owed.blocks === 0))
  said('free')
  const { freed, left } = await whileTimePasses(clock, watched.blocks.freeing.evict(record))
  const id = toHex(record.id).slice(0, 8)
  assert.deepEqual(said('free'), [
    `record ${id}: frees its chunks: evict`,
    `record ${id}: chunks freed: ${freed.blocks}, left: ${left.blocks}`
  ])
  cluster.isolate(writer)
  const { record: second } = await whileTimePasses(clock, watched.put(bytes, { replicas: ALL, ack: 2 }))
  const secondId = toHex(second.id).slice(0, 8)
  assert.deepEqual(said('handoff'), [`record ${secondId}: asks its members until they confirm what they owe`])
  await cluster.heal(writer)
  await writer.stand(second)
  await timePassesUntil(clock, 'all is confirmed', () => watched.blocks.owed.blocks === 0)
  const answers = said('handoff')
  assert.ok(answers.includes(`record ${secondId}: ${writer.peer} holds 6 of the 6 chunks that it owes`))
  assert.equal(answers.at(-1), `record ${secondId}: nothing is owed any more`)
})

test('a node lists the background work of this room, and all of it ends with it', async t => {
  const { clock, watched } = await start(t)
  const names = watched.blocks.workers.map(({ status }) => status.name)
  assert.deepEqual(names, [
    'repair',
    'blocks at risk',
    'surplus',
    'freeing',
    'hinted handoff',
    'claim sweep',
    'making room'
  ])
  // The view has changed since the start, and has settled by now.
  for (let i = 0; i < 3; i++) {
    clock.advance(MINUTE)
    await settle()
  }
  assert.deepEqual(
    watched.blocks.workers.map(({ status }) => status.nextInMs),
    [null, null, 7 * MINUTE, MINUTE, null, MINUTE, MINUTE],
    'nothing is missing, owed or at risk'
  )
  clock.advance(MINUTE)
  await settle()
  assert.ok(watched.blocks.workers.every(({ status }) => status.lastError === null))
  await watched.stop()
  assert.ok(watched.blocks.workers.every(({ status }) => status.state === 'stopped'))
})
