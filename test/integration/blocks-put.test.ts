import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { PULL_BYTES_MAX, PUT_WINDOW_BLOCKS, SILENCE_MS, SILENT_AGAIN_MS, THERE_MS } from '../../src/blocks/constants.ts'
import { NotEnoughCopiesError } from '../../src/blocks/errors.ts'
import { Claims } from '../../src/blocks/hold/claims.ts'
import { walkManifest } from '../../src/blocks/manifest-walk.ts'
import type { RecordRef } from '../../src/blocks/record-ref.ts'
import { indexKey } from '../../src/disk/index-db.ts'
import { TABLES } from '../../src/disk/tables.ts'
import { type BlockCid, blockKey } from '../../src/format/cid.ts'
import { defaultNodeCodec } from '../../src/format/manifest.ts'
import type { PeerId } from '../../src/format/peer-id.ts'
import { sealSmall } from '../../src/format/seal-file.ts'
import { DisconnectedError } from '../../src/wire/errors.ts'
import { FrameReader, fieldsOf } from '../../src/wire/frames.ts'
import { BlockCluster, type BlockMember, type MemberOptions } from '../fixtures/block-cluster.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { contentSubkey } from '../fixtures/keys.ts'
import { assertInOrder, RecordingLogger, silentLogger } from '../fixtures/logger.ts'
import { settle, timePassesUntil, whileTimePasses } from '../fixtures/pass-time.ts'
import { sealInMemory } from '../fixtures/sealed-files.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const CHUNK = 64 << 10
const ALL = Number.POSITIVE_INFINITY
const chance = seededChance(42)

async function start(t: TestContext, size: number, options?: MemberOptions) {
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, size, options)
  t.after(() => cluster.stop())
  const members = cluster.members as [BlockMember, BlockMember, ...BlockMember[]]
  return { clock, cluster, members }
}

function bytesOf(chunks: number): Uint8Array {
  return chance.bytes(chunks * CHUNK - 100)
}

async function blocksOf({ root }: RecordRef, member: BlockMember) {
  const blocks: Array<{ cid: BlockCid; chunkIndex: number | null }> = []
  const read = async (cid: BlockCid) => (await member.blocks.read(cid)).bytes
  for await (const block of walkManifest(root, read, defaultNodeCodec)) blocks.push(block)
  return blocks
}

test('the owners of a chunk by its rank get it, and every member gets each manifest node', async t => {
  const { clock, cluster, members } = await start(t, 4)
  const [writer] = members
  const { record, outcome } = await whileTimePasses(clock, writer.put(bytesOf(12), { replicas: 2 }))
  assert.ok(outcome.reached.length >= 2)
  assert.equal(outcome.wanted, 2)
  await timePassesUntil(clock, 'nothing is owed', () => members.every(({ blocks }) => blocks.owed.blocks === 0))
  for (const { cid, chunkIndex } of await blocksOf(record, writer)) {
    const owners = chunkIndex === null ? members : cluster.owners(cid, 2)
    for (const owner of owners) assert.ok(await owner.holds(cid), `chunk ${chunkIndex}`)
    // The writer may hold a surplus copy. No other member was given a chunk that it does not owe.
    for (const other of members)
      if (!owners.includes(other) && other !== writer) assert.ok(!(await other.holds(cid)), `chunk ${chunkIndex}`)
  }
  for (const { faults, errors } of members) assert.deepEqual([...faults, ...errors], [])
})

test('a put that asks for a copy and an acknowledgement of every member reaches all of them', async t => {
  const { clock, members } = await start(t, 3)
  const { record, outcome } = await whileTimePasses(clock, members[0].put(bytesOf(5), { replicas: ALL, ack: ALL }))
  assert.equal(outcome.reached.length, 3)
  assert.equal(outcome.owedBlocks, 0)
  for (const member of members) assert.equal(await member.count(), 6)
  const copies = await whileTimePasses(clock, members[1].blocks.copies(record.root, ALL))
  assert.deepEqual(copies, { confirmed: 3, missingOn: [] })
})

test('a put keeps a repeated chunk once, and counts it at every index', async t => {
  const { clock, members } = await start(t, 2)
  const piece = chance.bytes(CHUNK)
  const bytes = Buffer.concat([piece, piece, chance.bytes(CHUNK), piece, piece, piece, Buffer.alloc(10, 1)])
  const { record, outcome } = await whileTimePasses(clock, members[0].put(bytes, { replicas: 2 }))
  assert.equal(outcome.reached.length, 2)
  assert.equal(outcome.owedBlocks, 0)
  // Three different chunks and the root.
  for (const member of members) assert.equal(await member.count(), 4)
  assert.equal((await blocksOf(record, members[1])).length, 8)
})

test('two puts of one file at once, and one by another member, store it once on each member', async t => {
  const { clock, members } = await start(t, 3)
  const bytes = bytesOf(4)
  const [a, b] = members
  const puts = await whileTimePasses(
    clock,
    Promise.all([a.put(bytes, { replicas: 3 }), a.put(bytes, { replicas: 3 }), b.put(bytes, { replicas: 2 })])
  )
  for (const { record, outcome } of puts) {
    assert.ok(record.root.equals(puts[0].record.root))
    assert.ok(outcome.reached.length >= 2)
  }
  await timePassesUntil(clock, 'nothing is owed', () => members.every(({ blocks }) => blocks.owed.blocks === 0))
  for (const member of members) assert.equal(await member.count(), 5)
})

test('a put does not send blocks that members hold already', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const bytes = bytesOf(6)
  await whileTimePasses(clock, writer.put(bytes, { replicas: 2 }))
  const writes = countWrites(keeper)
  const { outcome } = await whileTimePasses(clock, writer.put(bytes, { replicas: 2 }))
  assert.equal(outcome.reached.length, 2)
  // The root is small, and travels with the question.
  assert.ok(writes.count <= 1)
})

test('a member that is alone keeps the file, says what is owed, and hands it over when another comes', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, other] = members
  cluster.isolate(other)
  const { record, outcome } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 2 }))
  assert.deepEqual(outcome.reached, [writer.peer])
  assert.equal(outcome.owedBlocks, 3)
  assert.equal(writer.blocks.owed.blocks, 3)
  // What is owed survives a restart.
  await writer.restart()
  cluster.isolate(other)
  assert.equal(writer.blocks.owed.blocks, 3)
  await cluster.heal(other)
  await other.stand(record)
  await timePassesUntil(clock, 'delivered', () => writer.blocks.owed.blocks === 0)
  assert.equal(await other.count(), 4)
})

test('a put fails after a minute if an explicit number of copies cannot be made, and loses nothing', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, other] = members
  cluster.isolate(other)
  const started = clock.now()
  await assert.rejects(whileTimePasses(clock, writer.put(bytesOf(2), { replicas: 2, ack: 2 })), error => {
    assert.ok(error instanceof NotEnoughCopiesError)
    assert.deepEqual([error.wanted, error.reached, error.owedBlocks], [2, [writer.peer], 2])
    return true
  })
  assert.ok(clock.now() - started >= 60_000 && clock.now() - started < 65_000)
  assert.equal(await writer.count(), 3)
})

test('a member that comes while a put waits for an explicit number of copies is asked to keep the file', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, other] = members
  cluster.isolate(other)
  const put = writer.put(bytesOf(3), { replicas: 2, ack: 2 })
  const heal = (async () => {
    await clock.sleep(20_000)
    await cluster.heal(other)
  })()
  const { outcome } = await whileTimePasses(clock, put)
  await heal
  assert.deepEqual(new Set(outcome.reached), new Set([writer.peer, other.peer]))
})

test('a put gives up a silent member within half a minute, counts a fault of it, and goes on without it', async t => {
  const { clock, cluster, members } = await start(t, 3)
  const [writer, , silent] = members
  cluster.silence(silent as BlockMember)
  const started = clock.now()
  const { outcome } = await whileTimePasses(clock, writer.put(bytesOf(40), { replicas: 3, ack: 2 }))
  assert.ok(!outcome.reached.includes(silent!.peer))
  assert.equal(outcome.reached.length, 2)
  assert.ok(clock.now() - started < 35_000)
  // The next one does not wait for it at all.
  const again = clock.now()
  await whileTimePasses(clock, writer.put(bytesOf(4), { replicas: 3, ack: 2 }))
  assert.ok(clock.now() - again < 2_000, `${clock.now() - again} ms`)
  assert.ok(outcome.owedBlocks >= 40)
})

test('a put with only a silent member beside it says that it is alone', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, silent] = members
  // It was silent from the start, so it cannot even be asked.
  cluster.silence(silent)
  const started = clock.now()
  const { outcome } = await whileTimePasses(clock, writer.put(bytesOf(60), { replicas: 2 }))
  assert.deepEqual(outcome.reached, [writer.peer])
  assert.equal(outcome.owedBlocks, 60)
  assert.ok(clock.now() - started < 15_000, `${clock.now() - started} ms`)
})

test('a put that is cut off from all other members says so within seconds, although nothing has ended its connections', async t => {
  const { clock, cluster, members } = await start(t, 3)
  const [writer, ...others] = members
  await whileTimePasses(clock, writer.put(bytesOf(1), { replicas: 3 }))
  for (const other of others) cluster.silence(other)
  for (const chunks of [1, 20]) {
    const started = clock.now()
    const { outcome } = await whileTimePasses(clock, writer.put(bytesOf(chunks), { replicas: 3 }))
    assert.deepEqual([outcome.reached, outcome.confirmed, outcome.wanted], [[writer.peer], 1, 3])
    assert.deepEqual(new Set(outcome.owedBy), new Set(others.map(({ peer }) => peer)))
    assert.ok(clock.now() - started < SILENCE_MS + THERE_MS + 3_000, `${clock.now() - started} ms`)
  }
})

test('a put says how many copies its block with the fewest has, not how many members it reached', async t => {
  const { clock, members } = await start(t, 5)
  const { outcome } = await whileTimePasses(clock, members[0].put(bytesOf(40), { replicas: 3 }))
  assert.ok(outcome.reached.length > 3)
  assert.ok(outcome.confirmed >= 2 && outcome.confirmed <= 3, String(outcome.confirmed))
})

test('a member that falls silent half way is blamed, and asked last for a while', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, silent] = members
  await whileTimePasses(clock, writer.put(bytesOf(1), { replicas: 2 }))
  cluster.silence(silent)
  const { outcome } = await whileTimePasses(clock, writer.put(bytesOf(60), { replicas: 2 }))
  assert.deepEqual(outcome.reached, [writer.peer])
  await timePassesUntil(clock, 'blamed', () => writer.faults.includes(silent.peer))
  const again = clock.now()
  await whileTimePasses(clock, writer.put(bytesOf(4), { replicas: 2 }))
  assert.ok(clock.now() - again < 2_000, `${clock.now() - again} ms`)
})

test('a member that froze counts again soon after it goes on, although it was blamed', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, other] = members
  await whileTimePasses(clock, writer.put(bytesOf(1), { replicas: 2 }))
  cluster.silence(other)
  const alone = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 2 }))
  assert.deepEqual(alone.outcome.reached, [writer.peer])
  await cluster.heal(other)
  clock.advance(SILENT_AGAIN_MS)
  const { outcome } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 2 }))
  assert.deepEqual(outcome.reached, [writer.peer, other.peer])
})

test('a put reaches two members that are never connected at the same time', async t => {
  const { clock, cluster, members } = await start(t, 3)
  const [writer, ...others] = members
  for (const other of others) cluster.isolate(other)
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: ALL }))
  assert.equal(writer.blocks.owed.blocks, 6)
  for (const [i, other] of others.entries()) {
    await cluster.heal(other)
    await other.stand(record)
    await timePassesUntil(clock, 'delivered to one', () => writer.blocks.owed.blocks === 3 - 3 * i)
    cluster.isolate(other)
  }
})

test('the next in rank keeps the blocks of a member without room', async t => {
  const clock = new ManualClock()
  const cluster = new BlockCluster(clock)
  t.after(() => cluster.stop())
  const writer = await cluster.add()
  const full = await cluster.add({ capacityBytes: 1 })
  const spare = await cluster.add()
  const { record, outcome } = await whileTimePasses(clock, writer.put(bytesOf(10), { replicas: 2, ack: 2 }))
  assert.deepEqual(new Set(outcome.reached), new Set([writer.peer, spare.peer]))
  assert.equal(outcome.owedBlocks, 0)
  assert.equal(await full.count(), 0)
  for (const { cid } of await blocksOf(record, writer)) {
    const owners = cluster.owners(cid, 2)
    if (owners.includes(full)) assert.ok(await spare.holds(cid))
  }
})

test('a member that lost its blocks pulls them again before it acknowledges the record', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  let losses = 0
  keeper.onPush = async () => {
    if (losses++ > 0) return
    for await (const { multihash } of keeper.blockstore.all()) {
      const { cid } = (await blocksOf(record, writer)).find(({ cid }) =>
        Buffer.from(multihash).equals(cid.multihash.bytes)
      ) as { cid: BlockCid }
      await keeper.blockstore.delete(cid)
    }
  }
  let record!: RecordRef
  const bytes = bytesOf(4)
  // The same content has the same root on every member, so the test can compute it before the put.
  record = (await whileTimePasses(clock, writer.put(bytes, { replicas: 1 }))).record
  losses = 0
  const { outcome } = await whileTimePasses(clock, writer.put(bytes, { replicas: 2 }))
  assert.ok(losses > 1)
  assert.equal(outcome.reached.length, 2)
  assert.equal(await keeper.count(), 5)
})

test('a writer that lost its own copy does not count it', async t => {
  const { clock, members } = await start(t, 3)
  const [writer, keeper] = members
  keeper.onPush = async () => {}
  const put = writer.blocks.openPut({ replicas: 3 })
  t.after(() => put.close())
  const { root, blocks } = await sealed(bytesOf(3))
  await whileTimePasses(clock, put.keep(blocks))
  const kept = await whileTimePasses(clock, put.keepRoot(root))
  await writer.blockstore.delete(root)
  const { record, statement } = writer.record(root, 3)
  await writer.stand(record)
  const outcome = await whileTimePasses(clock, writer.blocks.pushRecord(statement, kept, { replicas: 3 }))
  assert.ok(!outcome.reached.includes(writer.peer))
  assert.equal(outcome.reached.length, 2)
})

/** Three members: the writer and a keeper own two copies of every block, and a spare one comes after them in rank. */
async function startWithSpare(t: TestContext) {
  const clock = new ManualClock()
  const cluster = new BlockCluster(clock)
  t.after(() => cluster.stop())
  const [writer, keeper] = [await cluster.add(), await cluster.add()]
  return { clock, cluster, writer, keeper, spare: await cluster.add({ weight: 1 }) }
}

for (const moment of ['keeps the root', 'acknowledges the record'] as const)
  test(`if the only keeper dies before it ${moment}, a third member is asked, and the put has two copies`, async t => {
    const { clock, cluster, writer, keeper, spare } = await startWithSpare(t)
    const die = async (): Promise<void> => {
      cluster.isolate(keeper)
      throw new DisconnectedError('it is dead')
    }
    if (moment === 'acknowledges the record') keeper.onPush = die
    else onRequest(keeper, '/dfs/store/1.0.0', fields => 'root' in fields && die().catch(() => {}))
    const { record, outcome } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 2 }))
    assert.deepEqual(outcome.reached, [writer.peer, spare.peer])
    for (const { cid } of await blocksOf(record, writer)) assert.ok(await spare.holds(cid))
    // What the dead member owes is still owed, and nothing else.
    assert.equal(outcome.owedBlocks, 3)
  })

test('if the only keeper of a small file dies before the push, a third member is asked', async t => {
  const { clock, writer, keeper, spare } = await startWithSpare(t)
  keeper.onPush = async () => {
    throw new DisconnectedError('it is dead')
  }
  const options = { replicas: 2, isSmall: true, chunkBytes: 3_000 }
  const { outcome } = await whileTimePasses(clock, writer.put(chance.bytes(3_000), options))
  assert.deepEqual(outcome.reached, [writer.peer, spare.peer])
})

test('a small file goes to its keeper in one request with its record, which claims its block in place of the put', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  let pushes = 0
  keeper.onPush = async () => void pushes++
  const fields: unknown[] = []
  onRequest(keeper, '/dfs/store/1.0.0', request => fields.push(request))
  const options = { replicas: 2, isSmall: true }
  const { record, outcome } = await whileTimePasses(clock, writer.put(chance.bytes(3_000), options))
  assert.deepEqual([outcome.reached, outcome.owedBlocks], [[writer.peer, keeper.peer], 0])
  // The record was judged where its block arrived, and nothing else was sent.
  assert.deepEqual([pushes, fields.length], [1, 1])
  for (const member of members) assert.deepEqual(await claimsOf(member, record.root), ['record'])
  // Nothing is left to be walked on either member.
  for (const { store } of members) assert.ok(!(await store.index.hasAny(indexKey(TABLES.unfinished))))
})

test('a small file that its writer does not owe is walked there, so that its surplus copy is known', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const keeper = members[1]
  const away = await cluster.add({ weight: 0 })
  await whileTimePasses(clock, away.put(chance.bytes(3_000), { replicas: 2, isSmall: true }))
  await timePassesUntil(clock, 'it is walked', () => away.store.index.hasAny(indexKey(TABLES.surplus)))
  assert.ok(!(await keeper.store.index.hasAny(indexKey(TABLES.surplus))))
})

test('a keeper that refuses the record of a small file keeps its block for the put', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  keeper.addsFiles = false
  const { record, outcome } = await whileTimePasses(
    clock,
    writer.put(chance.bytes(3_000), { replicas: 2, isSmall: true })
  )
  assert.deepEqual(outcome.reached, [writer.peer, keeper.peer])
  await timePassesUntil(clock, 'the claim of the put has ended', async () => {
    const claims = await claimsOf(keeper, record.root)
    return claims.length === 1 && claims[0] === 'record'
  })
})

test('a small file whose record never comes is freed', async t => {
  const { clock, members } = await start(t, 2)
  const [writer] = members
  const put = writer.blocks.openSmallPut({ replicas: 2 })
  const { cid, bytes } = sealSmall({ subkey: contentSubkey }, chance.bytes(3_000))
  await put.lease(bytes.byteLength)
  await writer.blocks.keepSmall([{ put, root: cid, bytes }])
  assert.ok(await writer.holds(cid))
  put.close()
  await timePassesUntil(clock, 'it is freed', async () => !(await writer.holds(cid)), { stepMs: 10_000 })
})

test('a put that fails is given up at the members that were asked to keep a block, and at no other', async t => {
  const { clock, members } = await start(t, 4)
  const [writer, ...others] = members
  const told: PeerId[] = []
  const asked = new Set<PeerId>()
  for (const member of others)
    onRequest(member, '/dfs/store/1.0.0', fields => {
      if ('ended' in fields) told.push(member.peer)
      else asked.add(member.peer)
    })
  async function* source(): AsyncGenerator<Uint8Array> {
    // A chunk, and the beginning of another.
    yield chance.bytes(1_001)
    while (asked.size === 0) await settle()
    throw new Error('the source broke off')
  }
  await assert.rejects(whileTimePasses(clock, writer.put(source(), { replicas: 2, chunkBytes: 1_000 })), /broke off/)
  await timePassesUntil(clock, 'they are told', async () => told.length >= asked.size)
  assert.ok(asked.size < others.length)
  assert.deepEqual(new Set(told), asked)
})

for (const step of ['block', 'root', 'record'] as const)
  test(`a member that freezes when it is sent a ${step} does not hold up a put: the next in rank is asked after two seconds`, async t => {
    const { clock, cluster, writer, keeper, spare } = await startWithSpare(t)
    let isArmed = false
    const freeze = async (): Promise<void> => {
      if (!isArmed) return
      cluster.silence(keeper)
      await new Promise(() => {})
    }
    if (step === 'record') keeper.onPush = freeze
    else onRequest(keeper, '/dfs/store/1.0.0', fields => (step === 'root') === 'root' in fields && freeze())
    // Opens every stream, and lets the writer learn the pace of each member.
    await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 3, ack: 3 }))
    isArmed = true
    const started = clock.now()
    const { outcome } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 2 }), { stepMs: 250 })
    assert.ok(clock.now() - started < 5_000, `${clock.now() - started} ms`)
    assert.deepEqual(outcome.reached, [writer.peer, spare.peer])
  })

test('a put whose own copy is gone brings it back before it counts that copy', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const { statement, kept, root } = await keptFile(t, { clock, writer, replicas: 2 })
  await writer.blockstore.delete(root)
  const outcome = await whileTimePasses(clock, writer.blocks.pushRecord(statement, kept, { replicas: 2 }))
  assert.deepEqual(outcome.reached, [writer.peer, keeper.peer])
  assert.ok(await writer.holds(root))
})

test('a put that brings its own copy back waits for memory, as every pull does', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const { statement, kept, root } = await keptFile(t, { clock, writer, replicas: 2 })
  await writer.blockstore.delete(root)
  const { pulls } = writer.blocks.memory
  const lease = await pulls.acquire(PULL_BYTES_MAX, { owner: 'another pull' })
  const pushed = writer.blocks.pushRecord(statement, kept, { replicas: 2 })
  await timePassesUntil(clock, 'the put waits for memory', () => pulls.waiting > 0)
  lease.release()
  const outcome = await whileTimePasses(clock, pushed)
  assert.deepEqual(outcome.reached, [writer.peer, keeper.peer])
  assert.ok(await writer.holds(root))
})

test('a put whose own copy is gone fails if no other member has the file', async t => {
  const { clock, members } = await start(t, 1)
  const [writer] = members
  const { statement, kept, root } = await keptFile(t, { clock, writer, replicas: 2 })
  await writer.blockstore.delete(root)
  const pushed = writer.blocks.pushRecord(statement, kept, { replicas: 2 })
  await assert.rejects(whileTimePasses(clock, pushed), error => {
    assert.ok(error instanceof NotEnoughCopiesError)
    assert.deepEqual(error.reached, [])
    assert.match(error.message, /the copy here is not whole/)
    return true
  })
})

test('a member that may not store is refused, and has the only copy of its file', async t => {
  const { clock, members } = await start(t, 2)
  const [reader, keeper] = members
  keeper.options.mayStore = () => false
  const { outcome } = await whileTimePasses(clock, reader.put(bytesOf(3), { replicas: 2 }))
  assert.deepEqual(outcome.reached, [reader.peer])
  assert.equal(keeper.faults.length, 0)
})

test('a put reads no more from its source than a window of blocks while no member accepts them', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, silent] = members
  cluster.silence(silent)
  let taken = 0
  async function* source() {
    for (let i = 0; i < 100; i++) {
      taken++
      yield chance.bytes(CHUNK)
    }
  }
  const put = writer.put(source(), { replicas: 2 })
  await settle(300)
  // The chunker and the sealer hold one each.
  assert.ok(taken >= PUT_WINDOW_BLOCKS && taken <= PUT_WINDOW_BLOCKS + 3, `${taken} taken`)
  await whileTimePasses(clock, put)
  assert.equal(taken, 100)
})

test('a put that is aborted ends at once, even if it waits for a silent member', async t => {
  const { cluster, members } = await start(t, 2)
  const [writer, silent] = members
  cluster.silence(silent)
  const cut = new AbortController()
  const put = writer.put(bytesOf(20), { replicas: 2, signal: cut.signal })
  await settle()
  cut.abort()
  await assert.rejects(put, { name: 'AbortError' })
})

test('a put fails with the error of its disk', async t => {
  const { clock, members } = await start(t, 2, { capacityBytes: 4 * CHUNK })
  await assert.rejects(whileTimePasses(clock, members[0].put(bytesOf(20), { replicas: 2 })), { code: 'no-space' })
})

test('small files that are put together share their calls', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  let calls = 0
  const reader = new FrameReader(1 << 20, () => calls++)
  const handler = keeper.host.handlerOf('/dfs/store/1.0.0')!
  keeper.host.handle('/dfs/store/1.0.0', stream => {
    const onData = (listener: (bytes: Uint8Array) => void): void =>
      stream.onData(bytes => {
        reader.push(bytes)
        listener(bytes)
      })
    handler(withMethod(stream, 'onData', onData))
  })
  const files = Array.from({ length: 200 }, () => chance.bytes(3_000))
  const puts = await whileTimePasses(
    clock,
    Promise.all(files.map(bytes => writer.put(bytes, { replicas: 2, isSmall: true, chunkBytes: 3_000 })))
  )
  for (const { outcome } of puts) assert.equal(outcome.reached.length, 2)
  assert.ok(calls < 50, `${calls} calls`)
  assert.equal(await keeper.count(), 200)
})

test('a long put renews its claims, so that none runs out before its file is whole', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const chunks = 1_100
  const chunkBytes = 256
  const writes = countWrites(keeper)
  async function* slow() {
    for (let i = 0; i < chunks; i++) {
      // Hours pass while the last few are waited for.
      if (i >= 1_097) await clock.sleep(40 * 60_000)
      yield chance.bytes(chunkBytes)
    }
  }
  const { outcome } = await whileTimePasses(clock, writer.put(slow(), { replicas: 2, chunkBytes }), {
    stepMs: 10_000,
    msMax: 24 * 60 * 60_000
  })
  assert.equal(outcome.reached.length, 2)
  // Every chunk and node was kept once: none was swept away and had to come again.
  assert.equal(writes.count, chunks + 3)
})

function countWrites({ blockstore }: BlockMember): { count: number } {
  const writes = { count: 0 }
  const { put, putAll } = blockstore
  blockstore.put = async (...args) => {
    writes.count++
    return put.apply(blockstore, args)
  }
  blockstore.putAll = async blocks => {
    writes.count += blocks.length
    return putAll?.call(blockstore, blocks)
  }
  return writes
}

/** A file that a put has kept, and its record, which is not pushed yet. */
async function keptFile(
  t: TestContext,
  { clock, writer, replicas }: { clock: ManualClock; writer: BlockMember; replicas: number }
) {
  const put = writer.blocks.openPut({ replicas })
  t.after(() => put.close())
  const { root, blocks } = await sealed(bytesOf(3))
  await whileTimePasses(clock, put.keep(blocks))
  const kept = await whileTimePasses(clock, put.keepRoot(root))
  const { record, statement } = writer.record(root, replicas)
  await writer.stand(record)
  return { kept, root, record, statement }
}

/** Calls back with the fields of each request to a member before the member handles it. */
function onRequest(member: BlockMember, protocol: string, onFields: (fields: object) => unknown): void {
  const handler = member.host.handlerOf(protocol)!
  member.host.handle(protocol, stream => {
    const reader = new FrameReader(1 << 20, ({ header }) => {
      onFields(fieldsOf(header))
    })
    const onData = (listener: (bytes: Uint8Array) => void): void =>
      stream.onData(bytes => {
        reader.push(bytes)
        listener(bytes)
      })
    handler(withMethod(stream, 'onData', onData))
  })
}

/** What claims a block on a member's disk. */
async function claimsOf({ store }: BlockMember, { multihash }: BlockCid): Promise<string[]> {
  const found: string[] = []
  for await (const { key, value } of store.index.range(indexKey(TABLES.claims, multihash.bytes)))
    found.push(Claims.decode(key.subarray(1), value).claimant.by)
  return found
}

async function sealed(bytes: Uint8Array) {
  const { root, blocks: byKey } = await sealInMemory(bytes, { chunkBytes: CHUNK })
  async function* blocks() {
    const read = async (cid: BlockCid) => byKey.get(blockKey(cid)) as Uint8Array
    const all = []
    for await (const { cid, chunkIndex } of walkManifest(root!.cid, read, defaultNodeCodec))
      all.push({ cid, chunkIndex })
    // Chunks first, the root last, as they are sealed.
    for (const { cid, chunkIndex } of all.reverse())
      if (chunkIndex !== null) yield { cid, chunkIndex, bytes: await read(cid) }
    yield { cid: root!.cid, chunkIndex: null, bytes: await read(root!.cid), root: root! }
  }
  return { root: root!.cid, blocks: blocks() }
}

function withMethod<T extends object, K extends keyof T>(target: T, name: K, method: T[K]): T {
  return new Proxy(target, {
    get(object, key) {
      if (key === name) return method
      const value = Reflect.get(object, key)
      return typeof value === 'function' ? value.bind(object) : value
    }
  })
}

test('a record is pushed to the other members even if its put has been aborted', async t => {
  const { clock, members } = await start(t, 3)
  const [writer, ...others] = members
  const gone = new AbortController()
  const options = { replicas: 3, signal: gone.signal }
  const put = writer.blocks.openPut(options)
  t.after(() => put.close())
  const { root, blocks } = await sealed(bytesOf(3))
  await whileTimePasses(clock, put.keep(blocks))
  const kept = await whileTimePasses(clock, put.keepRoot(root))
  const { record, statement } = writer.record(root, 3)
  await writer.stand(record)
  const heard: string[] = []
  for (const other of others)
    other.onPush = async () => {
      heard.push(other.peer)
    }
  gone.abort()
  const pushed = writer.blocks.pushRecord(statement, kept, options)
  await assert.rejects(whileTimePasses(clock, pushed), { name: 'AbortError' })
  await settle()
  assert.deepEqual(heard.sort(), others.map(({ peer }) => peer).sort())
})

test('the log of a put that loses a keeper tells the story in order', async t => {
  const clock = new ManualClock()
  const cluster = new BlockCluster(clock)
  t.after(() => cluster.stop())
  const logger = new RecordingLogger()
  cluster.logger = logger
  const writer = await cluster.add()
  cluster.logger = silentLogger
  const [lost, spare] = [await cluster.add(), await cluster.add()]
  cluster.silence(lost)
  const { outcome } = await whileTimePasses(clock, writer.put(bytesOf(12), { replicas: 2, ack: 2 }))
  assert.ok(outcome.owedBlocks > 0)
  assertInOrder(logger.lines, [
    /^dfs:blocks:put put [0-9a-f]{8}: opened: 2 copies wanted, waits for 2$/,
    new RegExp(`^dfs:blocks:placer put .*: asks .*${lost.peer}.* to keep blocks$`),
    new RegExp(`^dfs:blocks:placer put .*: ${lost.peer} is silent: others are asked in its place$`),
    new RegExp(`^dfs:blocks:placer put .*: asks ${spare.peer} in place of ${lost.peer}$`),
    new RegExp(`^dfs:blocks:put put .*: root [0-9a-f]{8}, chunks: 12; kept by ${spare.peer}: 12$`),
    new RegExp(`^dfs:blocks:put put .*: ${spare.peer} confirms root [0-9a-f]{8}, chunks: 12$`),
    new RegExp(
      `^dfs:blocks:acknowledgement record [0-9a-f]{8}: of put [0-9a-f]{8} with root [0-9a-f]{8}; pushed to ${spare.peer}$`
    ),
    new RegExp(`^dfs:blocks:acknowledgement record .*: ${spare.peer} says ok$`),
    /^dfs:blocks:acknowledgement record .*: yes, durable copies: 2 of 2 \(the caller asked for 2\)$/,
    new RegExp(
      `^dfs:blocks:acknowledgement record .*: copies of chunks that are still owed: ${outcome.owedBlocks}, by ${lost.peer}: ${outcome.owedBlocks}$`
    )
  ])
  // One line for each step, however many blocks the file has.
  assert.ok(logger.lines.filter(line => !line.includes(':trace ')).length < 15)
})
