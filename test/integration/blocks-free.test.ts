import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Blocks } from '../../src/blocks/blocks.ts'
import { HOLD_MS } from '../../src/blocks/constants.ts'
import { EvictRefusedError } from '../../src/blocks/errors.ts'
import { walkManifest } from '../../src/blocks/manifest-walk.ts'
import { loadStopMarks } from '../../src/blocks/repair/stop-marks.ts'
import { IndexCorruptError, NoSpaceError } from '../../src/disk/errors.ts'
import { indexKey } from '../../src/disk/index-db.ts'
import { TABLES } from '../../src/disk/tables.ts'
import { type BlockCid, DAG_CBOR, nameBlock, RAW } from '../../src/format/cid.ts'
import { defaultNodeCodec } from '../../src/format/manifest.ts'
import { BlockCluster, type BlockMember, type MemberOptions } from '../fixtures/block-cluster.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { settle, timePassesUntil, whileTimePasses } from '../fixtures/pass-time.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const CHUNK = 64 << 10
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const ALL = Number.POSITIVE_INFINITY
const chance = seededChance(43)
const bytesOf = (chunks: number): Uint8Array => chance.bytes(chunks * CHUNK - 100)

async function start(t: TestContext, size: number, options?: MemberOptions) {
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, size, options)
  t.after(() => cluster.stop())
  return { clock, cluster, members: cluster.members as [BlockMember, BlockMember, BlockMember, BlockMember] }
}

/** Moves a clock on in steps, so that everything that becomes due on the way runs in time. */
async function pass(clock: ManualClock, ms: number, stepMs = 30_000): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    clock.advance(stepMs)
    await settle(20)
  }
  await settle()
}

/** Begins to store a file, and fails before there is a record. */
async function cutOff(clock: ManualClock, writer: BlockMember, chunks: number): Promise<void> {
  async function* broken() {
    yield bytesOf(chunks)
    throw new Error('cut off')
  }
  await assert.rejects(whileTimePasses(clock, writer.put(broken(), { replicas: ALL })), /cut off/)
  await settle()
}

async function totals(members: BlockMember[]): Promise<number[]> {
  return Promise.all(members.map(member => member.count()))
}

test('blocks of a put that failed are freed on every member once their claims have run out, and not before', async t => {
  const { clock, members } = await start(t, 2)
  const pair = members.slice(0, 2)
  await cutOff(clock, members[0], 6)
  const before = await totals(pair)
  // The last chunk was not complete.
  assert.deepEqual(before, [5, 5])
  await pass(clock, HOUR)
  assert.deepEqual(await totals(pair), before)
  await pass(clock, HOUR)
  assert.deepEqual(await totals(pair), [0, 0])
  for (const { errors } of pair) assert.deepEqual(errors, [])
})

test('a put for which the disk had no room does not keep it full', async t => {
  const { clock, members } = await start(t, 1, { capacityBytes: 12 * CHUNK })
  const [writer] = members
  await assert.rejects(whileTimePasses(clock, writer.put(bytesOf(20), { replicas: 1 })), NoSpaceError)
  await pass(clock, 2 * MINUTE)
  assert.equal(await writer.count(), 0)
  await whileTimePasses(clock, writer.put(bytesOf(6), { replicas: 1 }))
  assert.ok((await writer.count()) > 0)
  assert.deepEqual(writer.errors, [])
})

test('claims that run out free no block that a record or another put needs', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const bytes = bytesOf(4)
  const { record } = await whileTimePasses(clock, writer.put(bytes, { replicas: 2 }))
  // The same content is put again and fails: its blocks belong to the record too.
  const put = writer.blocks.openPut({ replicas: 2 })
  await whileTimePasses(
    clock,
    put.keepStored(record.root, async cid => (await writer.blocks.read(cid)).bytes)
  )
  put.close()
  await pass(clock, 3 * HOUR, 60_000)
  assert.deepEqual(await totals([writer, keeper]), [5, 5])
})

test('the claims of a put that is under way do not run out on the member that writes it', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, other] = members
  cluster.isolate(other)
  let goOn!: () => void
  const waiting = new Promise<void>(resolve => {
    goOn = resolve
  })
  async function* slow() {
    yield bytesOf(5)
    await waiting
    yield bytesOf(1)
  }
  const put = writer.put(slow(), { replicas: 1 })
  await pass(clock, 5 * HOUR, 60_000)
  assert.equal(await writer.count(), 4)
  goOn()
  const { outcome } = await whileTimePasses(clock, put)
  assert.deepEqual(outcome.reached, [writer.peer])
})

test('a member frees nothing while it is not certain what is needed, and frees it later', async t => {
  const { clock, members } = await start(t, 1)
  const [writer] = members
  await cutOff(clock, writer, 3)
  writer.mayFree = false
  await pass(clock, 4 * HOUR, 60_000)
  assert.ok((await writer.count()) > 0)
  writer.mayFree = true
  await pass(clock, 5 * MINUTE)
  assert.equal(await writer.count(), 0)
})

test('a member frees nothing while a manifest node of a record cannot be obtained', async t => {
  const { clock, cluster, members } = await start(t, 3)
  const [writer, keeper, late] = members
  cluster.isolate(late)
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 2 }))
  // It learns of a record, and cannot ask anyone for its blocks.
  await late.stand(record)
  await cutOff(clock, late, 3)
  await pass(clock, 4 * HOUR, 60_000)
  assert.ok((await late.count()) > 0)
  await assert.rejects(whileTimePasses(clock, late.blocks.freeing.evict(record)), EvictRefusedError)
  await cluster.heal(late)
  await timePassesUntil(clock, 'nothing is owed', () => late.blocks.owed.blocks === 0)
  await pass(clock, 10 * MINUTE)
  const owned = await Promise.all([keeper, late].map(async member => member.count()))
  assert.ok(owned[1] !== undefined && owned[1] <= 4)
})

test('a member does not free a block that it has promised to another before that one has its copy again', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(2), { replicas: 2 }))
  const evicted = await whileTimePasses(clock, writer.blocks.freeing.evict(record))
  assert.deepEqual(evicted.freed.blocks, 2)
  // The keeper's copies are the last ones, and the writer has no room for others.
  const put = t.mock.method(writer.blockstore, 'putAll', async () => {
    throw new NoSpaceError('the disk is full')
  })
  const alone = await whileTimePasses(clock, keeper.blocks.freeing.evict(record))
  assert.deepEqual([alone.freed.blocks, alone.left.blocks], [0, 2])
  put.mock.restore()
  const second = await whileTimePasses(clock, keeper.blocks.freeing.evict(record))
  assert.deepEqual([second.freed.blocks, second.left.blocks], [2, 0])
  assert.deepEqual((await survey(record.root, [writer])).chunks, [1, 1])
})

test('two members that evict at the same time never free both copies', async t => {
  const { clock, members } = await start(t, 2)
  const [a, b] = members
  const { record } = await whileTimePasses(clock, a.put(bytesOf(20), { replicas: 2 }))
  await whileTimePasses(clock, Promise.all([a.blocks.freeing.evict(record), b.blocks.freeing.evict(record)]))
  const { chunks } = await survey(record.root, [a, b])
  for (const holders of chunks) assert.ok(holders >= 1)
})

test('a member evicts what the others hold again, although it promised them its copies when they evicted theirs', async t => {
  const { clock, members } = await start(t, 3)
  const [a, b, c] = members
  const { record } = await whileTimePasses(clock, a.put(bytesOf(20), { replicas: ALL, ack: ALL }))
  const first = await whileTimePasses(clock, b.blocks.freeing.evict(record))
  assert.deepEqual([first.freed.blocks, first.left.blocks], [20, 0])
  // B pulls its copies again to prove them to C. From then on it does not rely on the copies of C.
  const second = await whileTimePasses(clock, c.blocks.freeing.evict(record))
  assert.deepEqual([second.freed.blocks, second.left.blocks], [20, 0])
  assert.deepEqual(
    (await survey(record.root, [a, b])).chunks,
    Array.from({ length: 20 }, () => 2)
  )
  // B promised its copies to C a moment ago, and C has none to prove.
  const third = await whileTimePasses(clock, b.blocks.freeing.evict(record))
  assert.deepEqual([third.freed.blocks, third.left.blocks], [20, 0], 'C pulls them again for B')
})

test('evict frees a chunk that as many others prove as the record that wants the most copies asks for', async t => {
  const { clock, cluster, members } = await start(t, 3)
  const [writer, second, third] = members
  const bytes = bytesOf(3)
  const { record } = await whileTimePasses(clock, writer.put(bytes, { replicas: 1 }))
  // Another record has the same content and wants it on every member.
  await whileTimePasses(clock, writer.put(bytes, { replicas: ALL, ack: ALL }))
  cluster.isolate(third)
  const left = await whileTimePasses(clock, writer.blocks.freeing.evict(record))
  assert.equal(left.freed.blocks, 0)
  await cluster.heal(third)
  const gone = await whileTimePasses(clock, writer.blocks.freeing.evict(record))
  assert.equal(gone.freed.blocks, 3)
  assert.ok(gone.freed.bytes >= 3 * CHUNK - 100)
  assert.deepEqual((await survey(record.root, [second, third])).chunks, [2, 2, 2])
})

test('a member that is asked for a hold first pulls the chunks that it lacks', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, other] = members
  cluster.isolate(other)
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(40), { replicas: 1 }))
  await cluster.heal(other)
  await other.stand(record)
  await settle()
  const { freed, left } = await whileTimePasses(clock, writer.blocks.freeing.evict(record))
  assert.deepEqual([freed.blocks, left.blocks], [40, 0])
  assert.ok((await survey(record.root, [other])).chunks.every(holders => holders === 1))
  // The manifest nodes stay.
  assert.equal(await writer.count(), 1)
})

test('a member keeps what it has promised across a clean restart', async t => {
  const { clock, members } = await start(t, 3)
  const [writer, second, third] = members
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(2), { replicas: 2 }))
  for (const member of members) await member.stand(record)
  await pass(clock, MINUTE)
  const { freed } = await whileTimePasses(clock, writer.blocks.freeing.evict(record))
  assert.ok(freed.blocks > 0)
  const holders = (
    await Promise.all([second, third].map(async member => ((await member.count()) > 1 ? [member] : [])))
  ).flat()
  for (const holder of holders) {
    await holder.restart()
    await assert.rejects(whileTimePasses(clock, holder.blocks.freeing.evict(record)), EvictRefusedError)
  }
  assert.ok(holders.length > 0)
})

test('a walk that finds the claim of its record missing says that the index is damaged', async t => {
  const { clock, cluster, members } = await start(t, 1)
  const [member] = members
  const { record } = await whileTimePasses(clock, member.put(bytesOf(2), { replicas: 1 }))
  await pass(clock, MINUTE)
  await member.store.index.batch([{ type: 'del', key: Blocks.referenceKey(record) }])
  // A new member changes the view, so that every record is walked.
  await cluster.add()
  await timePassesUntil(clock, 'reported', () => member.errors.some(error => error instanceof IndexCorruptError))
  member.errors.length = 0
})

test('a record that was released is not walked, and its missing claim is no damage', async t => {
  const { clock, cluster, members } = await start(t, 1)
  const [member] = members
  const { record } = await whileTimePasses(clock, member.put(bytesOf(2), { replicas: 1 }))
  await pass(clock, MINUTE)
  await member.store.index.batch(Blocks.releaseOps(record))
  // A new member changes the view, so that every record is walked.
  const added = await cluster.add()
  await pass(clock, 5 * MINUTE)
  assert.deepEqual(member.errors, [])
  assert.equal(await member.store.index.hasAny(indexKey(TABLES.unfinished)), false)
  assert.deepEqual(added.errors, [])
})

test('a member that does not know the record cannot hold its chunks for another', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, other] = members
  const bytes = bytesOf(3)
  const { record: known } = await whileTimePasses(clock, writer.put(bytes, { replicas: 2 }))
  cluster.isolate(other)
  await whileTimePasses(clock, writer.put(bytes, { replicas: 2 }))
  cluster.network.heal(writer.host, other.host)
  await cluster.connect(writer, other)
  const { freed } = await whileTimePasses(clock, writer.blocks.freeing.evict(known))
  assert.equal(freed.blocks, 0)
})

test('a member that lost the bytes cannot prove its copies', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, liar] = members
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 2 }))
  // Its copies are garbage of the right length under the right names.
  const { get } = liar.blockstore
  liar.blockstore.get = async function* (...args) {
    for await (const bytes of get.apply(liar.blockstore, args))
      yield bytes.byteLength >= CHUNK ? chance.bytes(bytes.byteLength) : bytes
  }
  const { freed, left } = await whileTimePasses(clock, writer.blocks.freeing.evict(record))
  assert.equal(freed.blocks + left.blocks, 3)
  assert.ok(freed.blocks <= 1)
  assert.ok(left.blocks >= 2)
})

test('a member that can read keeps its copies if only storage members would have the others', async t => {
  const clock = new ManualClock()
  const cluster = new BlockCluster(clock)
  t.after(() => cluster.stop())
  const writer = await cluster.add()
  await cluster.add({ canRead: false })
  await cluster.add({ canRead: false })
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 3, ack: 3 }))
  const { freed } = await whileTimePasses(clock, writer.blocks.freeing.evict(record))
  assert.equal(freed.blocks, 0)
})

test('evicted chunks come back after an hour, or once they are read', async t => {
  const { clock, members } = await start(t, 2)
  const [writer] = members
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(3), { replicas: 2 }))
  await whileTimePasses(clock, writer.blocks.freeing.evict(record))
  assert.equal(await writer.count(), 1)
  const { chunkCids } = await survey(record.root, [writer])
  const first = chunkCids[0] as BlockCid
  const { from } = await whileTimePasses(clock, writer.blocks.read(first))
  assert.equal(from, members[1].peer)
  await timePassesUntil(clock, 'kept again', () => writer.holds(first), { msMax: 5_000 })
  assert.equal(await writer.count(), 2)
  await pass(clock, HOUR - 5 * MINUTE)
  assert.equal(await writer.count(), 2)
  await pass(clock, 30 * MINUTE)
  assert.equal(await writer.count(), 4)
})

test('chunks that were evicted for one record come back for another that wants them here', async t => {
  for (const chunks of [1, 6]) {
    const { clock, members } = await start(t, 3)
    const [writer, second] = members
    const bytes = bytesOf(chunks)
    const { record } = await whileTimePasses(clock, writer.put(bytes, { replicas: 1 }))
    await whileTimePasses(clock, second.put(bytes, { replicas: ALL, ack: ALL }))
    const before = await writer.count()
    await whileTimePasses(clock, writer.blocks.freeing.evict(record))
    assert.equal(await writer.count(), before - chunks)
    await pass(clock, HOUR + 30 * MINUTE)
    assert.equal(await writer.count(), before)
  }
})

test('a member evicts nothing for an hour after an unclean stop', async t => {
  const { clock, members } = await start(t, 2)
  const [writer] = members
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(2), { replicas: 2 }))
  await writer.restart({ crash: true })
  await assert.rejects(whileTimePasses(clock, writer.blocks.freeing.evict(record)), error => {
    assert.ok(error instanceof EvictRefusedError)
    assert.equal(error.code, 'busy')
    return true
  })
  await pass(clock, HOUR + MINUTE)
  assert.equal((await whileTimePasses(clock, writer.blocks.freeing.evict(record))).freed.blocks, 2)
})

test('a start that fails leaves no work behind, and does not forget what was promised', async t => {
  const clock = new ManualClock()
  const cluster = new BlockCluster(clock)
  t.after(() => cluster.stop())
  const member = await cluster.add()
  await member.store.index.batch([
    { type: 'put', key: indexKey(TABLES.unfinished, Buffer.alloc(32)), value: Buffer.of(1) }
  ])
  await assert.rejects(member.restart({ crash: true }))
  assert.deepEqual(
    member.blocks.workers.map(({ status }) => status.state).filter(state => state !== 'stopped'),
    []
  )
  const { promisedMs } = await loadStopMarks(member.store.index, clock, { wasClean: true })
  assert.equal(promisedMs, HOLD_MS)
})

test('blocks that a crash left without a claim are freed, and claimed ones are not', async t => {
  const { clock, members } = await start(t, 1)
  const [member] = members
  const { record } = await whileTimePasses(clock, member.put(bytesOf(2), { replicas: 1 }))
  for (const size of [100, 2 * CHUNK]) {
    const orphan = chance.bytes(size)
    await member.blockstore.put(nameBlock(orphan), orphan)
  }
  assert.equal(await member.count(), 5)
  await pass(clock, 10 * MINUTE)
  assert.equal(await member.count(), 5, 'after a clean stop it does not search')
  await member.restart({ crash: true })
  await pass(clock, 24 * HOUR, 10 * MINUTE)
  assert.equal(await member.count(), 5, 'a claim that the index has lost may still last')
  // A clean stop in between changes nothing.
  await member.restart()
  await pass(clock, HOUR, MINUTE)
  assert.equal(await member.count(), 3)
  assert.deepEqual((await survey(record.root, [member])).chunks, [1, 1])
})

test('a member that lost its index keeps everything until it is certain, and claims it all again', async t => {
  const { clock, members } = await start(t, 1)
  const [member] = members
  await whileTimePasses(clock, member.put(bytesOf(3), { replicas: 1 }))
  member.mayFree = false
  await member.restart({ loseIndex: true })
  await pass(clock, 10 * MINUTE)
  assert.equal(await member.count(), 4)
  member.mayFree = true
  await pass(clock, 3 * HOUR, 60_000)
  assert.equal(await member.count(), 4)
})

/** How many of these members hold each chunk of a file. */
async function survey(root: BlockCid, members: BlockMember[]) {
  const chunks: number[] = []
  const chunkCids: BlockCid[] = []
  const read = async (cid: BlockCid) => {
    for (const member of members) for await (const bytes of member.blockstore.get(cid)) return bytes
    throw new Error('nobody has a node of the manifest')
  }
  for await (const { cid, chunkIndex } of walkManifest(root, read, defaultNodeCodec)) {
    if (chunkIndex === null) continue
    chunkCids.push(cid)
    chunks.push((await Promise.all(members.map(member => member.holds(cid)))).filter(Boolean).length)
  }
  return { chunks, chunkCids }
}

const DAY = 24 * HOUR

/**
 * Manifest nodes of 1,024 equal links each, one above the other, over one chunk. Returns the root, which states 2^(10 ·
 * heights) chunks.
 */
async function putBomb(member: BlockMember, heights: number): Promise<BlockCid> {
  const chunk = chance.bytes(200)
  let link = nameBlock(chunk, RAW)
  await member.blockstore.put(link, chunk)
  for (let height = 1; height <= heights; height++) {
    const sealed = chance.bytes(1_024 * 40 + 48)
    const node = { v: 1, leaves: 1_024 ** height, links: Array(1_024).fill(link), sealed }
    const bytes = defaultNodeCodec.encode(node) as Uint8Array
    link = nameBlock(bytes, DAG_CBOR)
    await member.blockstore.put(link, bytes)
  }
  return link
}

test('a record whose root died with its author stops freeing and evict for seven days, and status names the author', async t => {
  const { clock, members } = await start(t, 2)
  const [author, member] = members
  const { record } = await whileTimePasses(clock, author.put(bytesOf(2), { replicas: 2 }))
  const lost = author.record(nameBlock(chance.bytes(500), DAG_CBOR), 2).record
  await member.stand(lost)
  await cutOff(clock, member, 3)
  const before = await member.count()
  await pass(clock, 7 * DAY - HOUR, 10 * MINUTE)
  assert.equal(await member.count(), before)
  await assert.rejects(whileTimePasses(clock, member.blocks.freeing.evict(record)), EvictRefusedError)
  assert.deepEqual(member.blocks.inDanger.incomplete, [{ author: author.peer, records: 1, isStopping: true }])
  // A restart does not begin the seven days again.
  await member.restart()
  await pass(clock, 2 * HOUR, MINUTE)
  assert.ok(before > 3)
  assert.equal(await member.count(), 3, 'only the blocks of the record are left')
  assert.deepEqual(member.blocks.inDanger.incomplete, [{ author: author.peer, records: 1, isStopping: false }])
  assert.equal((await whileTimePasses(clock, member.blocks.freeing.evict(record))).freed.blocks, 2)
  assert.equal(member.blocks.owed.blocks, 1)
})

test('a manifest of equal links costs a walk no more than its few nodes, whatever it states, and stops nothing', async t => {
  for (const heights of [2, 4]) {
    const { clock, members } = await start(t, 2)
    const [author, member] = members
    const { record } = await whileTimePasses(clock, author.put(bytesOf(2), { replicas: 2 }))
    const root = await putBomb(member, heights)
    await member.stand(author.record(root, 2).record)
    await settle()
    const before = await member.count()
    await cutOff(clock, member, 3)
    assert.ok((await member.count()) > before)
    await pass(clock, 3 * HOUR, MINUTE)
    assert.equal(await member.count(), before)
    assert.equal((await whileTimePasses(clock, member.blocks.freeing.evict(record))).freed.blocks, 2)
    assert.deepEqual(member.errors, [])
  }
})

test('a start after which nothing has changed reads no manifest node and writes no reference', async t => {
  const { clock, members } = await start(t, 2)
  const [a, b] = members
  for (let i = 0; i < 5; i++) await whileTimePasses(clock, a.put(bytesOf(3), { replicas: 2 }))
  await pass(clock, 5 * MINUTE)
  for (const crash of [false, true]) {
    await b.restart({ crash })
    const get = t.mock.method(b.blockstore, 'get')
    const batch = t.mock.method(b.store.index, 'batch')
    await pass(clock, 5 * MINUTE)
    // After a crash everything is walked again.
    assert.equal(get.mock.callCount() > 0, crash)
    const keys = batch.mock.calls.flatMap(({ arguments: [ops] }) =>
      ops.map(({ key }) => String.fromCharCode(key[0] ?? 0))
    )
    assert.ok(!keys.includes('c'))
    get.mock.restore()
    batch.mock.restore()
  }
})

test('chunks that a writer does not owe are freed after seven days, once their owners prove them, and not before', async t => {
  const { clock, cluster, members } = await start(t, 4)
  const [writer] = members
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(12), { replicas: 2, ack: 2 }))
  const { chunkCids } = await survey(record.root, members)
  const surplus = chunkCids.filter(cid => !cluster.owners(cid, 2).includes(writer))
  assert.ok(surplus.length > 0)
  const held = async (): Promise<number> =>
    (await Promise.all(surplus.map(cid => writer.holds(cid)))).filter(Boolean).length
  for (const member of members) await member.stand(record)
  await pass(clock, 6 * DAY, HOUR)
  assert.equal(await held(), surplus.length)
  // The time that has passed is not forgotten.
  await writer.restart()
  const [away] = cluster.owners(surplus[0] as BlockCid, 1) as [BlockMember]
  cluster.isolate(away)
  await pass(clock, 2 * DAY, HOUR)
  const left = await held()
  assert.ok(left > 0 && left < surplus.length, `${left} of ${surplus.length} are left`)
  await cluster.heal(away)
  await pass(clock, 2 * DAY, HOUR)
  assert.equal(await held(), 0)
  for (const cid of chunkCids) {
    const holders = await Promise.all(cluster.owners(cid, 2).map(member => member.holds(cid)))
    assert.deepEqual(holders, [true, true])
  }
})

test('a member that is full frees surplus chunks at once', async t => {
  const { clock, cluster, members } = await start(t, 4)
  const [writer] = members
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(12), { replicas: 2, ack: 2 }))
  for (const member of members) await member.stand(record)
  const { chunkCids } = await survey(record.root, members)
  const owned = chunkCids.filter(cid => cluster.owners(cid, 2).includes(writer))
  await pass(clock, HOUR)
  assert.equal(await writer.count(), chunkCids.length + 1)
  writer.options = { isFull: true }
  cluster.refreshView()
  await pass(clock, 20 * MINUTE)
  assert.equal(await writer.count(), owned.length + 1)
})

test('surplus that a put still claims is not freed at once, but tried again later', async t => {
  const { clock, cluster, members } = await start(t, 4)
  const [writer] = members
  const bytes = bytesOf(12)
  const { record } = await whileTimePasses(clock, writer.put(bytes, { replicas: 2, ack: 2 }))
  for (const member of members) await member.stand(record)
  const cut = Promise.withResolvers<void>()
  async function* broken() {
    yield bytes
    await cut.promise
    throw new Error('cut off')
  }
  // While it is under way its claims stay, even on a disk that is full.
  const put = assert.rejects(writer.put(broken(), { replicas: 2 }), /cut off/)
  await pass(clock, MINUTE)
  writer.options = { isFull: true }
  cluster.refreshView()
  await pass(clock, 20 * MINUTE)
  const { chunkCids } = await survey(record.root, members)
  const owned = chunkCids.filter(cid => cluster.owners(cid, 2).includes(writer))
  assert.ok((await writer.count()) > owned.length + 1)
  cut.resolve()
  await whileTimePasses(clock, put)
  await pass(clock, 2 * DAY, HOUR)
  assert.equal(await writer.count(), owned.length + 1)
})

test('status counts the blocks whose other owner is out, until another member has confirmed a copy', async t => {
  const { clock, cluster, members } = await start(t, 3)
  const [a, b, c] = members
  for (let i = 0; i < 4; i++) {
    const { record } = await whileTimePasses(clock, a.put(bytesOf(3), { replicas: 2, ack: 2 }))
    for (const member of members) await member.stand(record)
  }
  await pass(clock, 5 * MINUTE)
  const atRisk = (): number[] => [a, b, c].map(({ blocks }) => blocks.inDanger.blocksAtRisk)
  assert.deepEqual(atRisk(), [0, 0, 0])
  // Only the chunks that C and one other member owed are in danger. A and B cannot reach each other to make new copies.
  const only = await Promise.all([a, b].map(member => onlyWith(cluster, member, c)))
  cluster.isolate(c)
  cluster.isolate(a)
  // No other member ever had this file, so it is owed, but no copy of it was lost.
  await whileTimePasses(clock, a.put(bytesOf(6), { replicas: 2 }))
  c.options = { isOut: true }
  cluster.refreshView()
  for (const { blocks } of [a, b]) blocks.retry()
  await pass(clock, 5 * MINUTE)
  assert.deepEqual(atRisk().slice(0, 2), only)
  assert.ok(only.every(count => count > 0))
  await a.restart()
  assert.equal(a.blocks.inDanger.blocksAtRisk, only[0], 'the count survives a restart')
  await cluster.heal(a)
  await pass(clock, 30 * MINUTE)
  assert.deepEqual(atRisk().slice(0, 2), [0, 0])
})

/** The number of chunks of all records that only these two members owe. */
async function onlyWith(cluster: BlockCluster, member: BlockMember, other: BlockMember): Promise<number> {
  const chunks = (await Promise.all(member.standing.map(({ root }) => survey(root, cluster.members)))).flatMap(
    ({ chunkCids }) => chunkCids
  )
  return chunks.filter(cid => {
    const owners = cluster.owners(cid, 2)
    return owners.includes(member) && owners.includes(other)
  }).length
}
