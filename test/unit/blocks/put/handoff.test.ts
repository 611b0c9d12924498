import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Bitmap } from '../../../../src/blocks/bitmap.ts'
import type { HoldAnswer, HoldRoot } from '../../../../src/blocks/protocol/store-messages.ts'
import { HintedHandoff } from '../../../../src/blocks/put/handoff.ts'
import { Ranking } from '../../../../src/blocks/rank.ts'
import type { RecordRef } from '../../../../src/blocks/record-ref.ts'
import { IndexDb, indexKey } from '../../../../src/disk/index-db.ts'
import { TABLES } from '../../../../src/disk/tables.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { defaultNodeCodec } from '../../../../src/format/manifest.ts'
import type { PeerId } from '../../../../src/format/peer-id.ts'
import type { ViewMember } from '../../../../src/members/view.ts'
import { toHex } from '../../../../src/util/bytes.ts'
import { DisconnectedError } from '../../../../src/wire/errors.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { MemoryDatabase } from '../../../fixtures/memory-database.ts'
import { settle } from '../../../fixtures/pass-time.ts'

const SECOND = 1_000
const ALL = Number.POSITIVE_INFINITY
const LACKS: HoldAnswer = { lacking: Bitmap.full(1), proofs: new Uint8Array(0) }
const HOLDS: HoldAnswer = { lacking: new Bitmap(), proofs: new Uint8Array(0) }

/** A record of a file of one chunk that wants a copy on every member. */
function recordOf(name: string): RecordRef {
  const cid = nameBlock(Buffer.from(name))
  return { id: cid.multihash.digest, root: cid, replicas: ALL, author: 'self' }
}

function amountOf({ owed: { blocks, bytes } }: HintedHandoff): { blocks: number; bytes: number } {
  return { blocks, bytes }
}

function member(peer: PeerId, n: number): ViewMember {
  const rest = { weight: 10 ** 12, zone: null, isDraining: false, isOut: false, isFull: false, canRead: true }
  return { peer, key: Buffer.alloc(32, n), ...rest }
}

async function setup(t: TestContext, { database = new MemoryDatabase(), peers = ['a', 'b'] } = {}) {
  const clock = new ManualClock()
  const index = new IndexDb(database.asDatabase, silentLogger)
  await index.open()
  const members = ['self', ...peers].map(member)
  const ranking = new Ranking({ id: new Uint8Array(32), members })
  /** The time of each request, in seconds from the start, and the member that it was sent to. */
  const asked: Array<[number, PeerId]> = []
  const startAtMs = clock.monotonic()
  const state = {
    answer: async (_: PeerId, __: HoldRoot): Promise<HoldAnswer> => LACKS,
    admitted: peers,
    holders: [] as PeerId[],
    released: [] as string[],
    errors: [] as unknown[]
  }
  const handoff = new HintedHandoff({
    self: 'self',
    clock,
    logger: silentLogger,
    codec: defaultNodeCodec,
    index,
    storeClient: {
      holdRoot: async (peer, request) => {
        asked.push([(clock.monotonic() - startAtMs) / SECOND, peer])
        return state.answer(peer, request)
      }
    },
    ranking: () => ranking,
    admitted: () => state.admitted,
    holders: async () => state.holders,
    viewId: () => ranking.view.id,
    readNode: async () => assert.fail('a file of one chunk has no node'),
    isReleased: async ({ id }) => state.released.includes(toHex(id)),
    onError: error => state.errors.push(error)
  })
  t.after(() => handoff.stop())
  const passSeconds = async (seconds: number): Promise<void> => {
    await settle(3)
    for (let i = 0; i < seconds; i++) {
      clock.advance(SECOND)
      await settle(3)
    }
  }
  const askedAt = (): number[] => [...new Set(asked.map(([at]) => at))]
  return { handoff, database, asked, askedAt, state, passSeconds }
}

test('owners are asked at growing intervals while they lack their copies', async t => {
  const { handoff, askedAt, passSeconds } = await setup(t)
  await handoff.start()
  await passSeconds(100)
  assert.deepEqual(askedAt(), [], 'nothing is owed')
  await handoff.add(recordOf('a'), { owed: 2, eachBytes: 1_000, by: [] })
  assert.deepEqual(amountOf(handoff), { blocks: 2, bytes: 2_000 })
  await passSeconds(200)
  // Ten seconds after it was added, then twice as long each time.
  assert.deepEqual(askedAt(), [110, 130, 170, 250])
})

test('a check asks at once and the intervals start again', async t => {
  const { handoff, askedAt, passSeconds } = await setup(t)
  await handoff.start()
  await handoff.add(recordOf('a'), { owed: 2, eachBytes: 1_000, by: [] })
  await passSeconds(35)
  assert.deepEqual(askedAt(), [10, 30])
  handoff.check()
  await passSeconds(40)
  assert.deepEqual(askedAt(), [10, 30, 35, 45, 65])
})

test('a check that comes during a round is followed by another round', async t => {
  const { handoff, asked, state, passSeconds } = await setup(t, { peers: ['a'] })
  const gate = Promise.withResolvers<HoldAnswer>()
  state.answer = () => gate.promise
  await handoff.start()
  await handoff.add(recordOf('a'), { owed: 1, eachBytes: 1_000, by: [] })
  await passSeconds(10)
  handoff.check()
  await passSeconds(1)
  assert.equal(asked.length, 1, 'rounds do not overlap')
  gate.resolve(LACKS)
  await passSeconds(1)
  assert.equal(asked.length, 2)
})

test('a copy that was confirmed is not asked for again, and the intervals start again', async t => {
  const { handoff, asked, state, passSeconds } = await setup(t)
  await handoff.start()
  await handoff.add(recordOf('a'), { owed: 2, eachBytes: 1_000, by: [] })
  await passSeconds(30)
  state.answer = async peer => (peer === 'a' ? HOLDS : LACKS)
  await passSeconds(40)
  assert.equal(handoff.owed.blocks, 1)
  asked.length = 0
  await passSeconds(10)
  assert.deepEqual(asked, [[80, 'b']])
})

test('once every copy is confirmed nobody is asked, and nothing is left for the next start', async t => {
  const { handoff, asked, state, passSeconds, database } = await setup(t)
  state.answer = async () => HOLDS
  await handoff.start()
  await handoff.add(recordOf('a'), { owed: 2, eachBytes: 1_000, by: [] })
  await passSeconds(10)
  assert.deepEqual(amountOf(handoff), { blocks: 0, bytes: 0 })
  assert.equal(handoff.worker.status.nextInMs, null)
  asked.length = 0
  await passSeconds(1_000)
  assert.deepEqual(asked, [])
  const next = await setup(t, { database: database.after(database.batches) })
  await next.handoff.start()
  assert.equal(next.handoff.owed.blocks, 0)
})

test('copies that were owed at the last stop are asked for at once', async t => {
  const before = await setup(t)
  await before.handoff.start()
  await before.handoff.add(recordOf('a'), { owed: 2, eachBytes: 1_000, by: [] })
  await before.handoff.stop()
  const { handoff, askedAt, passSeconds } = await setup(t, { database: before.database.after(before.database.batches) })
  await handoff.start()
  assert.deepEqual(amountOf(handoff), { blocks: 2, bytes: 2_000 })
  await passSeconds(10)
  assert.deepEqual(askedAt(), [0, 10])
})

test('members that are away or do not answer leave everything owed', async t => {
  const { handoff, asked, state, passSeconds } = await setup(t)
  state.admitted = ['a']
  state.answer = async () => {
    throw new DisconnectedError('not connected')
  }
  await handoff.start()
  await handoff.add(recordOf('a'), { owed: 2, eachBytes: 1_000, by: [] })
  await passSeconds(10)
  assert.deepEqual(asked, [[10, 'a']])
  assert.deepEqual([handoff.owed.blocks, state.errors], [2, []])
})

test('a node that stops does not wait for members that do not say what they hold, and changes no hint', async t => {
  const { handoff, database, asked, state, passSeconds } = await setup(t)
  state.answer = () => new Promise(() => {})
  await handoff.start()
  for (let i = 0; i < 40; i++) await handoff.add(recordOf(`file ${i}`), { owed: 2, eachBytes: 1_000, by: [] })
  await passSeconds(20)
  assert.ok(asked.length > 0)
  await handoff.stop()
  assert.deepEqual(state.errors, [])
  const { handoff: next } = await setup(t, { database })
  await next.start()
  assert.deepEqual(amountOf(next), { blocks: 80, bytes: 80_000 })
})

test('a hint whose row the index has lost no longer counts as owed after a round', async t => {
  const { handoff, database, passSeconds } = await setup(t)
  await handoff.start()
  await handoff.add(recordOf('a'), { owed: 2, eachBytes: 1_000, by: [] })
  await handoff.add(recordOf('b'), { owed: 2, eachBytes: 1_000, by: [] })
  database.corrupt(indexKey(TABLES.hints, recordOf('a').id))
  await passSeconds(10)
  assert.deepEqual(amountOf(handoff), { blocks: 2, bytes: 2_000 })
})

test('a record without blocks is owed until one other member has it', async t => {
  const { handoff, state, passSeconds } = await setup(t)
  await handoff.start()
  await handoff.add({ ...recordOf('x'), root: null }, { owed: 1, eachBytes: 5, by: ['a', 'b'] })
  assert.deepEqual(handoff.owed, { blocks: 1, bytes: 5, files: 1, by: ['a', 'b'] })
  await passSeconds(11)
  assert.deepEqual(handoff.owed, { blocks: 1, bytes: 5, files: 1, by: ['a', 'b'] })
  state.holders = ['b']
  handoff.check()
  await passSeconds(1)
  assert.deepEqual(handoff.owed, { blocks: 0, bytes: 0, files: 0, by: [] })
})

test('only the members that have not confirmed their copies are waited for', async t => {
  const { handoff, state, passSeconds } = await setup(t)
  await handoff.start()
  state.answer = async peer => (peer === 'a' ? HOLDS : LACKS)
  await handoff.add(recordOf('x'), { owed: 2, eachBytes: 5, by: ['a', 'b'] })
  await passSeconds(11)
  assert.deepEqual(handoff.owed, { blocks: 1, bytes: 5, files: 1, by: ['b'] })
})

test('a record that was released is owed by nobody, and its members are not asked', async t => {
  const { handoff, askedAt, state, database, passSeconds } = await setup(t)
  await handoff.start()
  await handoff.add(recordOf('a'), { owed: 2, eachBytes: 1_000, by: [] })
  state.released.push(toHex(recordOf('a').id))
  handoff.check()
  await passSeconds(2)
  assert.deepEqual(amountOf(handoff), { blocks: 0, bytes: 0 })
  assert.deepEqual(askedAt(), [])
  assert.ok(database.batches > 0)
})
