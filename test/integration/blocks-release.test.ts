import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Blocks } from '../../src/blocks/blocks.ts'
import { walkManifest } from '../../src/blocks/manifest-walk.ts'
import type { RecordRef } from '../../src/blocks/record-ref.ts'
import { indexKey } from '../../src/disk/index-db.ts'
import { TABLES, type Table } from '../../src/disk/tables.ts'
import { type BlockCid, blockKey, cidOfMultihash } from '../../src/format/cid.ts'
import { defaultNodeCodec } from '../../src/format/manifest.ts'
import { toHex } from '../../src/util/bytes.ts'
import { BlockCluster, type BlockMember, type MemberOptions } from '../fixtures/block-cluster.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { type LargeBlock, largeBlocksIn } from '../fixtures/large-blocks.ts'
import { settle, timePassesUntil, whileTimePasses } from '../fixtures/pass-time.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const CHUNK = 64 << 10
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const ALL = Number.POSITIVE_INFINITY
const chance = seededChance(44)
const bytesOf = (chunks: number): Uint8Array => chance.bytes(chunks * CHUNK - 100)

async function start(t: TestContext, size: number, options?: MemberOptions) {
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, size, options)
  t.after(() => cluster.stop())
  return { clock, cluster, members: cluster.members as [BlockMember, BlockMember, BlockMember] }
}

async function pass(clock: ManualClock, ms: number, stepMs = 30_000): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    clock.advance(stepMs)
    await settle(20)
  }
  await settle()
}

async function keysHere(member: BlockMember): Promise<string[]> {
  const keys: string[] = []
  for await (const { multihash } of member.blockstore.all()) keys.push(toHex(multihash))
  return keys.sort()
}

async function rowsOf(member: BlockMember, ...tables: Table[]): Promise<string[]> {
  const keys: string[] = []
  for (const table of tables)
    for await (const { key } of member.store.index.range(indexKey(table))) keys.push(table + toHex(key.subarray(1)))
  return keys
}

/** Every block of some records, read from the members. */
async function blocksOf(records: readonly RecordRef[], readers: readonly BlockMember[]): Promise<string[]> {
  const keys = new Set<string>()
  const read = async (cid: BlockCid): Promise<Uint8Array> => {
    for (const { blockstore } of readers)
      if (await blockstore.has(cid)) for await (const bytes of blockstore.get(cid)) return bytes
    throw new Error('a node is nowhere')
  }
  for (const { root } of records)
    for await (const { cid } of walkManifest(root, read, defaultNodeCodec)) keys.add(blockKey(cid))
  return [...keys].sort()
}

test('the blocks of a record go on every member that releases it, and stay on the others', async t => {
  const { clock, members } = await start(t, 3)
  const [a, b, c] = members
  const { record } = await whileTimePasses(clock, a.put(bytesOf(4), { replicas: ALL }))
  await timePassesUntil(clock, 'all have it', async () => (await c.count()) === 5 && (await b.count()) === 5)
  for (const member of [a, b]) await member.release(record)
  await pass(clock, 2 * MINUTE)
  assert.deepEqual([await a.count(), await b.count(), await c.count()], [0, 0, 5])
  for (const { errors } of members) assert.deepEqual(errors, [])
})

test('a record that is released while its blocks are being pulled leaves nothing here, and nothing is owed', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [writer, other] = members
  cluster.isolate(other)
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(20), { replicas: ALL }))
  await cluster.heal(other)
  cluster.silence(writer)
  await other.stand(record)
  await settle()
  // The walk has begun, and waits for the root.
  await other.release(record)
  await cluster.heal(writer)
  await pass(clock, 5 * MINUTE)
  assert.equal(await other.count(), 0)
  assert.equal(other.blocks.owed.blocks, 0)
  assert.deepEqual(await rowsOf(other, TABLES.claims, TABLES.nodes, TABLES.releases, TABLES.unfinished), [])
  assert.equal(await writer.count(), 21)
  await writer.release(record)
  await pass(clock, 5 * MINUTE)
  assert.equal(await writer.count(), 0)
  assert.deepEqual(writer.blocks.owed, { blocks: 0, bytes: 0, files: 0, by: [] })
})

test('an incomplete record that is released stops freeing no longer, and is not named any more', async t => {
  const { clock, cluster, members } = await start(t, 3)
  const [author, other, third] = members
  for (const member of [other, third]) cluster.isolate(member)
  const { record } = await whileTimePasses(clock, author.put(bytesOf(3), { replicas: 1 }))
  cluster.isolate(author)
  await cluster.heal(other)
  await cluster.heal(third)
  await other.stand(record)
  await pass(clock, 2 * MINUTE)
  assert.deepEqual(
    other.blocks.inDanger.incomplete.map(({ isStopping }) => isStopping),
    [true]
  )
  const { record: deleted } = await whileTimePasses(clock, other.put(bytesOf(2), { replicas: 1 }))
  await other.release(deleted)
  await pass(clock, 5 * MINUTE)
  assert.ok((await other.count()) > 0, 'nothing is freed while it is not known what the record needs')
  await other.release(record)
  await pass(clock, 5 * MINUTE)
  assert.deepEqual(other.blocks.inDanger.incomplete, [])
  assert.equal(await other.count(), 0)
})

test('a put that relies on a block that is just being freed keeps it, or sends it again', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const bytes = bytesOf(4)
  for (let turns = 0; turns < 40; turns++) {
    const { record: old } = await whileTimePasses(clock, writer.put(bytes, { replicas: ALL }))
    const put = writer.put(bytes, { replicas: ALL })
    await settle(turns)
    for (const member of [writer, keeper]) await member.release(old)
    const { record, outcome } = await whileTimePasses(clock, put)
    assert.equal(outcome.reached.length, 2)
    await pass(clock, 2 * MINUTE)
    const needed = await blocksOf([record], members.slice(0, 2))
    for (const member of [writer, keeper]) {
      assert.deepEqual(await keysHere(member), needed, `after ${turns} turns`)
      await member.release(record)
    }
    await pass(clock, 2 * HOUR, 60_000)
    assert.deepEqual([await writer.count(), await keeper.count()], [0, 0])
  }
})

test('a full disk makes room by freeing what was released', async t => {
  const { clock, members } = await start(t, 1, { capacityBytes: 12 * CHUNK })
  const [member] = members
  const { record } = await whileTimePasses(clock, member.put(bytesOf(8), { replicas: 1 }))
  member.mayFree = false
  await member.release(record)
  await pass(clock, MINUTE)
  assert.equal(await member.count(), 9)
  member.mayFree = true
  await whileTimePasses(clock, member.put(bytesOf(8), { replicas: 1 }))
  assert.deepEqual(member.errors, [])
})

test('a plan says how much a run frees, for each reason', async t => {
  const { clock, members } = await start(t, 2)
  const [a, b] = members
  const shared = bytesOf(3)
  const { record } = await whileTimePasses(clock, a.put(bytesOf(4), { replicas: ALL }))
  const { record: kept } = await whileTimePasses(clock, a.put(shared, { replicas: ALL }))
  const { record: twin } = await whileTimePasses(clock, a.put(shared, { replicas: ALL }))
  await timePassesUntil(clock, 'the other has all', async () => (await b.count()) === 9)
  a.mayFree = false
  for (const gone of [record, twin]) await a.release(gone)
  await assert.rejects(whileTimePasses(clock, a.put(cutOff(), { replicas: 1 })), /cut off/)
  await pass(clock, 3 * HOUR, MINUTE)
  const plan = await a.blocks.freeing.plan()
  assert.equal(plan.released.blocks, 5)
  assert.equal(plan.endedPuts.blocks, 2)
  assert.equal(plan.surplus.blocks, 0)
  a.mayFree = true
  const freed = await whileTimePasses(clock, a.blocks.freeing.run())
  assert.equal(freed.blocks, 7)
  assert.equal(freed.bytes, plan.released.bytes + plan.endedPuts.bytes)
  assert.deepEqual(await keysHere(a), await blocksOf([kept], [a]))
  assert.deepEqual(await a.blocks.freeing.plan(), {
    released: { blocks: 0, bytes: 0 },
    endedPuts: { blocks: 0, bytes: 0 },
    surplus: { blocks: 0, bytes: 0 }
  })
})

async function* cutOff() {
  yield bytesOf(3)
  throw new Error('cut off')
}

test('a run of gc frees surplus before its time, once its owners prove their copies', async t => {
  const { clock, members } = await start(t, 3)
  const [a] = members
  const { record } = await whileTimePasses(clock, a.put(bytesOf(30), { replicas: 1 }))
  for (const member of members) await member.stand(record)
  await pass(clock, 5 * MINUTE)
  const plan = await a.blocks.freeing.plan()
  assert.ok(plan.surplus.blocks > 0)
  const freed = await whileTimePasses(clock, a.blocks.freeing.run())
  assert.deepEqual(freed, { ...plan.surplus, stays: [] })
})

test('a run of gc says why it frees less than was planned', async t => {
  const { clock, cluster, members } = await start(t, 3)
  const [a] = members
  const { record } = await whileTimePasses(clock, a.put(bytesOf(30), { replicas: 1 }))
  for (const member of members) await member.stand(record)
  await pass(clock, 5 * MINUTE)
  for (const other of members.slice(1)) cluster.isolate(other)
  const { surplus } = await a.blocks.freeing.plan()
  const unproven = await whileTimePasses(clock, a.blocks.freeing.run())
  const { blocks } = unproven
  assert.deepEqual([blocks, unproven.stays], [0, [{ reason: 'unproven', ...surplus }]])
  await a.restart({ crash: true })
  await pass(clock, MINUTE)
  a.mayFree = true
  const [stay] = await a.blocks.freeing.stays()
  assert.equal(stay?.reason, 'promised')
  const untilAtMs = stay?.reason === 'promised' ? stay.untilAtMs : 0
  assert.ok(untilAtMs > clock.now() && untilAtMs <= clock.now() + HOUR)
  const { blocks: freed, stays } = await whileTimePasses(clock, a.blocks.freeing.run())
  assert.deepEqual([freed, stays.map(({ reason }) => reason)], [0, ['promised', 'unclean']])
  a.mayFree = false
  assert.deepEqual((await a.blocks.freeing.stays()).map(({ reason }) => reason)[0], 'uncertain')
  a.mayFree = true
  a.errors.length = 0
})

test('a check restores claims that are missing, and ends those that nothing needs', async t => {
  const { clock, members } = await start(t, 2)
  const [a, b] = members
  const { record } = await whileTimePasses(clock, a.put(bytesOf(4), { replicas: ALL }))
  const { record: gone } = await whileTimePasses(clock, a.put(bytesOf(2), { replicas: ALL }))
  await timePassesUntil(clock, 'the other has all', async () => (await b.count()) === 8)
  await pass(clock, MINUTE)
  const before = await rowsOf(a, TABLES.claims, TABLES.nodes)
  const clean = await whileTimePasses(clock, a.blocks.freeing.check(true))
  assert.deepEqual(clean, { checked: 8, corrupt: 0, unneeded: 0, repaired: 0, lost: [], lostCount: 0, isCertain: true })
  // The index loses the claims on two chunks, and the claim of a record.
  const referrers = (await rowsOf(a, TABLES.claims)).filter(key => key.slice(69, 71) === '6d')
  const lost = [
    ...referrers.slice(0, 2).map(key => Buffer.from(`63${key.slice(1)}`, 'hex')),
    Blocks.referenceKey(record)
  ]
  await a.store.index.batch(lost.map(key => ({ type: 'del', key })))
  const { repaired } = await whileTimePasses(clock, a.blocks.freeing.check(false))
  assert.ok(repaired >= 3, `${repaired}`)
  assert.deepEqual(await rowsOf(a, TABLES.claims, TABLES.nodes), before)
  // A released record whose node nobody has: its chunks stay, until a check ends the claims of the node.
  for (const member of [a, b]) await member.blockstore.delete(gone.root)
  for (const member of [a, b]) await member.release(gone)
  await pass(clock, 2 * MINUTE)
  assert.equal(a.blocks.freeing.unreadableNodes, 1)
  assert.equal(await a.count(), 7)
  await whileTimePasses(clock, a.blocks.freeing.check(false))
  await pass(clock, 2 * MINUTE)
  assert.deepEqual(await keysHere(a), await blocksOf([record], [a]))
  assert.equal(a.blocks.freeing.unreadableNodes, 0)
  assert.deepEqual(await rowsOf(a, TABLES.releases), [])
})

test('a check that reads the data fetches damaged blocks again, and names those that nobody has', async t => {
  const { clock, cluster, members } = await start(t, 2)
  const [a, b] = members
  const { record } = await whileTimePasses(clock, a.put(bytesOf(4), { replicas: ALL }))
  await timePassesUntil(clock, 'the other has all', async () => (await b.count()) === 5)
  await pass(clock, MINUTE)
  const segments = [...a.files.contents()].filter(([path]) => path.startsWith('blocks/'))
  const chunks = segments.flatMap(([path, content]) => largeBlocksIn(path, content))
  const damage = ({ path, offset }: LargeBlock): void =>
    a.files.corrupt(path, bytes => {
      bytes[offset + 100] = (bytes[offset + 100] as number) ^ 1
      return bytes
    })
  damage(chunks[0] as LargeBlock)
  const mended = await whileTimePasses(clock, a.blocks.freeing.check(true))
  assert.deepEqual([mended.corrupt, mended.lostCount], [1, 0])
  assert.ok(mended.repaired >= 1)
  assert.equal((await whileTimePasses(clock, a.blocks.freeing.check(true))).corrupt, 0)
  cluster.isolate(b)
  damage(chunks[1] as LargeBlock)
  const { lost, lostCount, corrupt } = await whileTimePasses(clock, a.blocks.freeing.check(true))
  assert.deepEqual([corrupt, lostCount], [1, 1])
  assert.equal(blockKey((lost[0] as { cid: BlockCid }).cid), chunks[1]?.multihash)
  assert.deepEqual(lost[0]?.records, [record.id])
  a.errors.length = 0
})

test('a check says which damaged blocks no file needs', async t => {
  const { clock, members } = await start(t, 1)
  const [a] = members
  async function* source(): AsyncGenerator<Uint8Array> {
    yield bytesOf(2)
    throw new Error('the source broke off')
  }
  await assert.rejects(whileTimePasses(clock, a.put(source(), { replicas: 1 })), /broke off/)
  const [path, content] = [...a.files.contents()].find(([path]) => path.startsWith('blocks/')) as [string, Buffer]
  const [{ offset }] = largeBlocksIn(path, content) as [LargeBlock]
  a.files.corrupt(path, bytes => {
    bytes[offset + 100] = (bytes[offset + 100] as number) ^ 1
    return bytes
  })
  for (let i = 0; i < 2; i++) {
    const { corrupt, unneeded, repaired, lostCount } = await whileTimePasses(clock, a.blocks.freeing.check(true))
    assert.deepEqual([corrupt, unneeded, repaired, lostCount], [1, 1, 0, 0])
  }
  a.errors.length = 0
})

test('two members that free their surplus at once leave enough copies', async t => {
  const { clock, members } = await start(t, 3)
  const { record } = await whileTimePasses(clock, members[0].put(bytesOf(20), { replicas: 2 }))
  for (const member of members) {
    await member.stand(record)
    // As after a change of the number of copies, each has all of them.
    for (const from of members)
      for await (const { multihash } of from.blockstore.all()) {
        const cid = cidOfMultihash(multihash)
        for await (const bytes of from.blockstore.get(cid)) await member.blockstore.put(cid, bytes)
      }
  }
  for (const member of members) await member.restart({ crash: true })
  await pass(clock, 65 * MINUTE)
  await whileTimePasses(clock, Promise.all(members.map(({ blocks }) => blocks.freeing.run())))
  await pass(clock, 2 * MINUTE)
  for (const key of await blocksOf([record], members)) {
    const holders = await Promise.all(members.map(async member => (await keysHere(member)).includes(key)))
    assert.ok(holders.filter(Boolean).length >= 2, key)
  }
})

test('an upload that takes two days keeps all its blocks on every member, whatever is freed meanwhile', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const shared = bytesOf(3)
  const { record: old } = await whileTimePasses(clock, writer.put(shared, { replicas: ALL }))
  const goOn = Promise.withResolvers<void>()
  async function* slow() {
    yield shared
    await goOn.promise
    yield bytesOf(1)
  }
  const put = writer.put(slow(), { replicas: ALL })
  await pass(clock, HOUR, 10 * MINUTE)
  for (const member of [writer, keeper]) await member.release(old)
  await pass(clock, 47 * HOUR, 10 * MINUTE)
  for (const { blocks } of [writer, keeper]) await whileTimePasses(clock, blocks.freeing.run())
  // The last chunk of what has been sent is not complete. The others are here, on both.
  assert.deepEqual([await writer.count(), await keeper.count()], [2, 2])
  goOn.resolve()
  const { record, outcome } = await whileTimePasses(clock, put)
  assert.equal(outcome.reached.length, 2)
  await pass(clock, 10 * MINUTE)
  for (const member of [writer, keeper]) assert.deepEqual(await keysHere(member), await blocksOf([record], [writer]))
})

test('the blocks of a writer that died before its record are freed on every member, and nothing else is', async t => {
  const { clock, members } = await start(t, 2)
  const [writer, keeper] = members
  const { record } = await whileTimePasses(clock, writer.put(bytesOf(2), { replicas: ALL }))
  async function* endless() {
    yield bytesOf(5)
    await new Promise(() => {})
  }
  void writer.put(endless(), { replicas: ALL }).catch(() => {})
  await timePassesUntil(clock, 'both have what was sent', async () => (await keeper.count()) === 7)
  await writer.restart({ crash: true })
  await pass(clock, 27 * HOUR, 5 * MINUTE)
  const needed = await blocksOf([record], [keeper])
  for (const member of [writer, keeper]) assert.deepEqual(await keysHere(member), needed)
})

const SEEDS = process.env['DFS_LONG'] === '1' ? 300 : 12

test(`${SEEDS} seeds: after any sequence of puts, releases and crashes, exactly the blocks that records need are here`, async () => {
  const only = process.env['DFS_SEED']
  for (let seed = 1; seed <= SEEDS; seed++) {
    if (only !== undefined && seed !== Number(only)) continue
    await exactlyTheNeeded(seed).catch(error => {
      throw new Error(`seed ${seed} (DFS_SEED=${seed} runs it alone)`, { cause: error })
    })
  }
})

async function exactlyTheNeeded(seed: number): Promise<void> {
  const { fraction, bytes } = seededChance(seed)
  const draw = (below: number): number => Math.floor(fraction() * below)
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, 3)
  const { members } = cluster
  // Few different chunks, so that files share some of them, and manifest nodes too.
  const texts = Array.from({ length: 4 }, () => bytes(200))
  const drawn = (): Uint8Array => Buffer.concat(Array.from({ length: 1 + draw(6) }, () => texts[draw(4)] as Uint8Array))
  async function* cut() {
    yield drawn()
    throw new Error('cut off')
  }
  const any = (): BlockMember => members[draw(3)] as BlockMember
  const options = { replicas: ALL, chunkBytes: 200 }
  for (let step = 0; step < 25; step++) {
    const dice = draw(20)
    const member = any()
    if (dice < 8)
      await whileTimePasses(
        clock,
        member.put(drawn(), options).catch(() => {})
      )
    else if (dice < 9)
      await whileTimePasses(
        clock,
        member.put(cut(), options).catch(() => {})
      )
    else if (dice < 15) {
      const record = member.needed[draw(member.needed.length)]
      // Each member decides for itself, and not all at the same time.
      if (record !== undefined)
        for (const at of members) if (draw(3) > 0) void at.stand(record).then(() => at.release(record))
    } else if (dice < 16) await member.restart()
    else if (dice < 17) await member.restart({ crash: true })
    else if (dice < 18) await member.restart({ powerCut: draw(6) })
    else if (dice < 19) await member.restart({ crash: true, loseIndex: true })
    else await pass(clock, draw(3) * MINUTE)
    await settle(draw(30))
  }
  for (const member of members) await cluster.reconnect(member)
  // Whoever has released a record has it, and the others get it.
  const all = [...cluster.records.values()]
  for (const member of members) for (const record of all) await member.stand(record)
  for (const record of all.slice(0, all.length / 2)) for (const member of members) await member.release(record)
  // The claims of puts run out, and what a crash left without a claim is looked for a day after it.
  await pass(clock, 27 * HOUR, 5 * MINUTE)
  for (const [i, member] of members.entries()) {
    const name = `member ${i}`
    assert.deepEqual(await keysHere(member), await blocksOf(member.needed, members), name)
    assert.deepEqual(await rowsOf(member, TABLES.releases, TABLES.unfinished, TABLES.expiries), [], name)
    const nodes = await rowsOf(member, TABLES.nodes)
    const referrers = (await rowsOf(member, TABLES.claims)).filter(key => key.slice(69, 71) === toHex(Buffer.from('m')))
    for (const key of referrers) assert.ok(nodes.includes(TABLES.nodes + key.slice(71)), `${name}: ${key}`)
  }
  await cluster.stop()
}
