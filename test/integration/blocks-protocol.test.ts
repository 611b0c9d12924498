import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { Bitmap } from '../../src/blocks/bitmap.ts'
import { isProof } from '../../src/blocks/protocol/proof.ts'
import { nameBlock } from '../../src/format/cid.ts'
import { type PeerId, peerIdOf } from '../../src/format/peer-id.ts'
import { Callers } from '../../src/wire/calls.ts'
import { RefusedError } from '../../src/wire/errors.ts'
import { BlockCluster, type BlockMember, type MemberOptions } from '../fixtures/block-cluster.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { settle, timePassesUntil, whileTimePasses } from '../fixtures/pass-time.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const STORE = '/dfs/store/1.0.0'
const GET = '/dfs/get/1.0.0'
const HOUR = 3_600_000
const chance = seededChance(44)
const put = Buffer.alloc(16, 1)
const small = chance.bytes(3_000)
const smallCid = nameBlock(small)

/** A member, and another one that sends it whatever a test says, on each protocol. */
async function setup(t: TestContext, options: MemberOptions = {}) {
  const clock = new ManualClock()
  const cluster = await BlockCluster.start(clock, 1, options)
  t.after(() => cluster.stop())
  const [member] = cluster.members as [BlockMember]
  const peer: PeerId = peerIdOf(chance.bytes(32))
  const host = cluster.network.host('raw', peer)
  await host.start()
  t.after(() => host.stop())
  const callers = new Map(
    [STORE, GET].map(protocol => [
      protocol,
      new Callers(host, clock, { protocol, requestBytesMax: 8 << 20, responseBytesMax: 8 << 20 })
    ])
  )
  await host.dial([member.host.address], { signal: AbortSignal.timeout(5_000) })
  const call = (protocol: string, fields: Record<string, unknown>, body: Uint8Array[] = []) =>
    (callers.get(protocol) as Callers).call(member.host.peerId, fields, { body })
  const keep = async (fields: Record<string, unknown>, body: Uint8Array[] = []) => {
    const all = { put, cids: [smallCid], lengths: [0], until: HOUR, fetch: true, ...fields }
    const { fields: reply } = await call(STORE, all, body)
    return [...(reply['states'] as Uint8Array)].map(state => ['kept', 'lacking', 'full', 'refused'][state])
  }
  return { clock, cluster, member, host, peer, call, keep }
}

const status = (expected: string) => (error: unknown) => error instanceof RefusedError && error.status === expected

const digest = smallCid.multihash.digest
const FOREIGN: Record<string, CID> = {
  'a digest cut to four bytes': CID.createV1(0x55, Digest.create(0x12, digest.subarray(0, 4))),
  'a digest of 33 bytes': CID.createV1(0x55, Digest.create(0x1e, Buffer.concat([digest, Buffer.alloc(1)]))),
  'the identity function': CID.createV1(0x55, Digest.create(0, small.subarray(0, 32))),
  'SHA-1': CID.createV1(0x55, Digest.create(0x11, digest.subarray(0, 20))),
  'a codec of another world': CID.createV1(0x70, smallCid.multihash),
  'version 0': CID.createV0(Digest.create(0x12, digest) as never)
}

for (const [what, cid] of Object.entries(FOREIGN)) {
  test(`a block named by ${what} is refused, on both protocols`, async t => {
    const { call, keep, member } = await setup(t)
    await assert.rejects(call(GET, { cid }), status('invalid'))
    await assert.rejects(keep({ cids: [smallCid, cid], lengths: [0, 0] }), status('invalid'))
    await assert.rejects(
      call(STORE, { put, root: cid, first: 0, until: HOUR, fetch: true }, [Bitmap.full(1).bytes]),
      status('invalid')
    )
    await assert.rejects(
      call(STORE, { view: new Uint8Array(32), root: cid, first: 0, fetch: false }),
      status('invalid')
    )
    // A refusal is no fault: the stream stays open.
    assert.deepEqual(await keep({ lengths: [3_000] }, [small]), ['kept'])
    assert.deepEqual(member.faults, [])
  })
}

test('a keep has the fields of its form, and `/dfs/get` has no others', async t => {
  const { keep, call, member } = await setup(t)
  for (const fields of [
    { put: put.subarray(1) },
    { cids: [] },
    { cids: Array(513).fill(smallCid), lengths: Array(513).fill(0) },
    { cids: ['bafy'] },
    { lengths: [] },
    { lengths: [256 << 10] },
    { lengths: [-1] },
    { until: 0 },
    { until: 24 * HOUR + 1 },
    { until: 1.5 },
    { fetch: 1 },
    { sizes: [(4 << 20) + 65] },
    { from: put }
  ])
    await assert.rejects(keep(fields), status('invalid'), JSON.stringify(Object.keys(fields)))
  await assert.rejects(call(STORE, {}), status('invalid'))
  await assert.rejects(
    call(STORE, {
      view: Buffer.alloc(32),
      root: smallCid,
      first: 0,
      fetch: true,
      nonce: Buffer.alloc(31),
      records: []
    }),
    status('invalid')
  )
  await assert.rejects(call(GET, { cid: smallCid, more: 1 }), status('invalid'))
  assert.equal(await member.count(), 0)
})

for (const [what, lengths, body] of [
  ['that is not the one named', [3_000], chance.bytes(3_000)],
  ['that is shorter than stated', [3_000], small.subarray(1)],
  ['that is longer than stated', [2_999], small]
] as const) {
  test(`an inline block ${what} ends the stream and is a fault; nothing is kept`, async t => {
    const { keep, member, peer } = await setup(t)
    await assert.rejects(keep({ lengths }, [body]), { code: 'unreachable' })
    await settle()
    assert.deepEqual(member.faults, [peer])
    assert.equal(member.blocks.faults(peer), 1)
    assert.equal(await member.count(), 0)
    // The peer may open another stream.
    assert.deepEqual(await keep({ lengths: [3_000] }, [small]), ['kept'])
  })
}

test('a block that is kept is durable, claimed, and served', async t => {
  const { keep, call, member, clock } = await setup(t)
  assert.deepEqual(await keep({ lengths: [3_000] }, [small]), ['kept'])
  const { body } = await call(GET, { cid: smallCid })
  assert.deepEqual(Buffer.from(body), Buffer.from(small))
  await assert.rejects(call(GET, { cid: nameBlock(Buffer.from('nothing')) }), status('not-found'))
  // It survives a crash, and its claim runs out.
  await member.restart({ crash: true })
  assert.ok(await member.holds(smallCid))
  await timePassesUntil(clock, 'freed', async () => !(await member.holds(smallCid)), {
    stepMs: 60_000,
    msMax: 3 * HOUR
  })
})

test('a question claims nothing', async t => {
  const { keep, member } = await setup(t)
  const cached = chance.bytes(500)
  await member.blockstore.put(nameBlock(cached), cached)
  const nothing = nameBlock(Buffer.from('nothing'))
  const question = { cids: [nameBlock(cached), nothing], lengths: [0, 0], fetch: false }
  // Nothing claims the first block, so it may be gone at any time.
  assert.deepEqual(await keep(question), ['lacking', 'lacking'])
  assert.equal(await member.store.index.hasAny(Buffer.from('c')), false)
  await keep({ cids: [nameBlock(cached)], lengths: [0], fetch: true })
  assert.deepEqual(await keep(question), ['kept', 'lacking'])
})

test('a block that the asker does not deliver is lacking', async t => {
  const { keep, host, clock } = await setup(t)
  // The asker does not speak /dfs/get.
  void host
  const unknown = nameBlock(chance.bytes(100_000))
  assert.deepEqual(await whileTimePasses(clock, keep({ cids: [unknown, smallCid], lengths: [0, 3_000] }, [small])), [
    'lacking',
    'kept'
  ])
})

test('a member that may not store is refused, but may ask questions', async t => {
  const { keep, call } = await setup(t, { mayStore: () => false })
  assert.deepEqual(await keep({ lengths: [3_000] }, [small]), ['refused'])
  await assert.rejects(
    call(STORE, { put, root: smallCid, first: 0, until: HOUR, fetch: true }, [Bitmap.full(1).bytes]),
    status('forbidden')
  )
  await assert.rejects(
    call(STORE, { view: new Uint8Array(32), root: smallCid, first: 0, fetch: true }),
    status('forbidden')
  )
  const { fields } = await call(STORE, { view: new Uint8Array(32), root: smallCid, first: 0, fetch: false }, [
    Bitmap.full(1).bytes
  ])
  assert.equal(fields['lacking'], 1)
})

test('a member refuses to walk a manifest that breaks the format', async t => {
  const { call, keep } = await setup(t)
  const garbage = chance.bytes(1_000)
  const root = nameBlock(garbage, 0x71)
  assert.deepEqual(await keep({ cids: [root], lengths: [1_000] }, [garbage]), ['kept'])
  await assert.rejects(
    call(STORE, { put, root, first: 0, until: HOUR, fetch: true }, [Bitmap.full(1).bytes]),
    status('invalid')
  )
})

test('a hold is granted and proven under the same view, for records that the keeper knows', async t => {
  const { call, cluster, member, peer, clock } = await setup(t)
  const { record } = await whileTimePasses(clock, member.put(small, { replicas: 1, chunkBytes: 3_000 }))
  const nonce = chance.bytes(32)
  const leaves = [Bitmap.full(1).bytes]
  const hold = { view: cluster.view.id, root: record.root, first: 0, fetch: false, nonce, records: [record.id] }
  await assert.rejects(call(STORE, { ...hold, view: Buffer.alloc(32) }, leaves), status('view-differs'))
  for (const records of [[], [Buffer.alloc(32)], [record.id, Buffer.alloc(32)]]) {
    const { fields, body } = await call(STORE, { ...hold, records }, leaves)
    assert.deepEqual([fields['lacking'], body.byteLength], [1, 1])
  }
  await assert.rejects(call(STORE, hold, [Bitmap.full(1_025).bytes]), status('over-limit'))
  const { fields, body } = await call(STORE, hold, leaves)
  assert.equal(fields['lacking'], 0)
  let block: Uint8Array = new Uint8Array(0)
  for await (const bytes of member.blockstore.get(record.root)) block = bytes
  assert.ok(isProof({ proof: body, nonce }, peer, member.peer, block))
})

test('a keep ignores fields that it does not know, in each of its forms', async t => {
  const { keep, call } = await setup(t)
  const later = { chain: ['a', 'b'], priority: 3 }
  assert.deepEqual(await keep({ lengths: [3_000], ...later }, [small]), ['kept'])
  const bits = [Bitmap.full(1).bytes]
  const { fields } = await call(STORE, { put, root: smallCid, first: 0, until: HOUR, fetch: true, ...later }, bits)
  assert.equal(fields['covered'], 65_536)
  await call(STORE, { view: new Uint8Array(32), root: smallCid, first: 0, fetch: false, ...later }, bits)
})

test('a keep with `from` pulls from that member first, and from the asker if it has nothing', async t => {
  const { keep, cluster, member, host, clock } = await setup(t)
  const other = await cluster.add()
  const block = chance.bytes(100_000)
  const [theirs, ours] = [nameBlock(block), nameBlock(chance.bytes(100_000))]
  await other.blockstore.put(theirs, block)
  const asked: string[] = []
  // The asker serves nothing, and notes that it was asked.
  host.handle(GET, stream => {
    stream.onData(() => {
      asked.push('asker')
      stream.abort(new Error('nothing here'))
    })
  })
  const lengths = [0]
  const from = other.key
  assert.deepEqual(await whileTimePasses(clock, keep({ cids: [theirs], lengths, from })), ['kept'])
  assert.deepEqual([asked, await member.holds(theirs)], [[], true])
  assert.deepEqual(await whileTimePasses(clock, keep({ cids: [ours], lengths, from })), ['lacking'])
  assert.ok(asked.length > 0)
  // A peer that is no member is passed over, and the bytes are verified like those of any block.
  const unknown = chance.bytes(32)
  assert.deepEqual(await whileTimePasses(clock, keep({ cids: [ours], lengths, from: unknown })), ['lacking'])
})

test('a keeper does not pull a block that is longer than its asker said, and blames nobody', async t => {
  const { keep, cluster, member, clock } = await setup(t)
  const other = await cluster.add()
  const block = chance.bytes(100_000)
  const cid = nameBlock(block)
  await other.blockstore.put(cid, block)
  const request = { cids: [cid], lengths: [0], from: other.key }
  assert.deepEqual(await whileTimePasses(clock, keep({ ...request, sizes: [99_999] })), ['lacking'])
  assert.equal(member.blocks.faults(other.peer), 0)
  assert.deepEqual(await whileTimePasses(clock, keep({ ...request, sizes: [100_000] })), ['kept'])
})

test('a request that reaches beyond the end of its page is refused', async t => {
  const { call } = await setup(t)
  for (const [first, chunks] of [
    [0, 65_537],
    [65_528, 9],
    [1, 65_536 + 8]
  ] as const) {
    const bits = [Bitmap.full(chunks).bytes]
    await assert.rejects(
      call(STORE, { put, root: smallCid, first, until: HOUR, fetch: true }, bits),
      status('over-limit')
    )
    const question = { view: new Uint8Array(32), root: smallCid, first, fetch: false }
    await assert.rejects(call(STORE, question, bits), status('over-limit'))
  }
  await assert.rejects(call(STORE, { put, root: smallCid, first: -1, until: HOUR, fetch: true }), status('invalid'))
})

test('a hold is for members that may have a copy to free: those that store blocks, writers and admins', async t => {
  const { call, cluster, member, clock } = await setup(t, { mayStore: () => false })
  const { record } = await whileTimePasses(clock, member.put(small, { replicas: 1, chunkBytes: 3_000 }))
  const hold = { view: cluster.view.id, root: record.root, first: 0, fetch: false, records: [record.id] }
  const nonce = chance.bytes(32)
  // The asker is not in the view, and it is a reader or a stranger to it.
  await assert.rejects(call(STORE, { ...hold, nonce }, [Bitmap.full(1).bytes]), status('forbidden'))
  // It may still ask what is here.
  const { fields } = await call(STORE, hold, [Bitmap.full(1).bytes])
  assert.equal(fields['lacking'], 0)
  const storing = await cluster.add({ mayStore: () => false })
  const answer = await whileTimePasses(
    clock,
    new Callers(storing.host, clock, { protocol: STORE, requestBytesMax: 1 << 20, responseBytesMax: 1 << 20 }).call(
      member.peer,
      { ...hold, view: cluster.view.id, nonce },
      { body: [Bitmap.full(1).bytes] }
    )
  )
  assert.equal(answer.fields['lacking'], 0)
})

test('a writer that serves a byte every eight seconds is cut and blamed, and no other writer waits for it', async t => {
  const { clock, cluster, member, host, peer } = await setup(t)
  const honest = await cluster.add()
  // Of each answer it sends a part of the lengths, and then of a header that never ends.
  const frame = Buffer.alloc(64)
  frame.writeUInt32BE(65_000)
  frame.writeUInt32BE(4 << 20, 4)
  let streams = 0
  host.handle(GET, stream => {
    streams++
    let sent = 0
    let isOver = false
    const send = (): void => {
      if (isOver) return
      void stream.write([frame.subarray(sent, ++sent)]).catch(() => {})
      clock.after(8_000, send)
    }
    stream.onEnd(() => {
      isOver = true
    })
    stream.onData(() => {})
    send()
  })
  const cids = Array.from({ length: 512 }, () => nameBlock(chance.bytes(40)))
  const patient = new Callers(host, clock, { protocol: STORE, requestBytesMax: 1 << 20, responseBytesMax: 1 << 20 })
  const fields = { put, cids, lengths: cids.map(() => 0), until: HOUR, fetch: true }
  const asked = patient.call(member.peer, fields, { timeoutMs: 10 * HOUR })
  let states: number[] | undefined
  void asked.then(({ fields }) => {
    states = [...(fields['states'] as Uint8Array)]
  })
  await settle()
  const startedAtMs = clock.now()
  const { outcome } = await whileTimePasses(
    clock,
    honest.put(chance.bytes(3 << 20), { replicas: 2, chunkBytes: 256 << 10 })
  )
  assert.deepEqual(outcome.reached.toSorted(), [honest.peer, member.peer].sort())
  assert.ok(clock.now() - startedAtMs < 2_000, 'the honest writer waited')
  await timePassesUntil(clock, 'its blocks are given up', () => states !== undefined, { msMax: 5 * 60_000 })
  assert.deepEqual(new Set(states), new Set([1]))
  assert.ok(clock.now() - startedAtMs < 60_000, 'all of its blocks were waited for')
  assert.ok(streams <= 2)
  assert.ok(member.blocks.faults(peer) > 0)
  assert.equal(honest.blocks.faults(member.peer), 0)
})
