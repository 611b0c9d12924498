import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Claims, putIdOf } from '../../../../src/blocks/hold/claims.ts'
import { IndexCorruptError } from '../../../../src/disk/errors.ts'
import { indexKey } from '../../../../src/disk/index-db.ts'
import { TABLES } from '../../../../src/disk/tables.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { peerIdOf } from '../../../../src/format/peer-id.ts'
import { toHex } from '../../../../src/util/bytes.ts'
import { freerOf, openClaims } from '../../../fixtures/claims-store.ts'
import { MemoryDatabase } from '../../../fixtures/memory-database.ts'
import { gather } from '../../../fixtures/streams.ts'

const HOUR = 3_600_000
const WRITER = peerIdOf(Buffer.alloc(32, 1))
const put = putIdOf(WRITER, Buffer.alloc(16, 1))
const other = putIdOf(WRITER, Buffer.alloc(16, 2))
const names = ['a', 'b', 'c'].map(text => nameBlock(Buffer.from(text)).multihash.bytes)
const [a, b, c] = names as [Uint8Array, Uint8Array, Uint8Array]
const record = { by: 'record' as const, id: Buffer.alloc(32, 3), replicas: 2 }

test('two writers that choose the same number have different puts', () => {
  const number = Buffer.alloc(16, 1)
  assert.equal(putIdOf(WRITER, number).byteLength, 48)
  assert.notDeepEqual(putIdOf(WRITER, number), putIdOf(peerIdOf(Buffer.alloc(32, 2)), number))
})

test('the owners of a block are listed, with the copies that each record wants', async () => {
  const { claims } = await openClaims()
  assert.equal(await claims.isClaimed(a), false)
  await claims.add([
    Claims.reference(a, record),
    Claims.reference(a, { by: 'record', id: Buffer.alloc(32, 4), replicas: Number.POSITIVE_INFINITY }),
    Claims.reference(a, { by: 'node', multihash: b })
  ])
  await claims.claimForPut(put, [a, c], HOUR)
  const owners = await gather(claims.claimants(a))
  assert.deepEqual(
    owners.map(owner => [owner.by, owner.by === 'record' ? owner.replicas : undefined]),
    [
      ['node', undefined],
      ['put', undefined],
      ['record', 2],
      ['record', Number.POSITIVE_INFINITY]
    ]
  )
  assert.ok(await claims.isReferenced(a))
  assert.ok((await claims.isClaimed(c)) && !(await claims.isReferenced(c)))
  assert.deepEqual(await claims.hasPut(put, names), [true, false, true])
  assert.deepEqual(await claims.hasPut(other, names), [false, false, false])
})

test('a claim that has expired counts for nothing, although no sweep has removed it', async () => {
  const { claims, clock } = await openClaims()
  await claims.claimForPut(put, [a], HOUR)
  clock.advance(HOUR)
  assert.deepEqual(await claims.hasPut(put, [a]), [true])
  clock.advance(24 * HOUR)
  assert.deepEqual([await claims.hasPut(put, [a]), await claims.isClaimed(a)], [[false], true])
  assert.deepEqual(await claims.hasPut(put, [a], { evenExpired: true }), [true])
})

test('claims expire at their time, the oldest first, and end one by one', async () => {
  const { claims, clock, store } = await openClaims()
  const started = clock.now()
  await claims.claimForPut(put, [a], 2 * HOUR)
  await claims.claimForPut(other, [a, b], HOUR)
  assert.deepEqual(await gather(claims.expired(started + HOUR)), [])
  const over = await gather(claims.expired(started + 24 * HOUR))
  assert.deepEqual(
    over.map(({ put }) => Buffer.from(put)),
    [other, other, put].map(id => Buffer.from(id))
  )
  assert.deepEqual(new Set(over.slice(0, 2).map(({ multihash }) => toHex(multihash))), new Set([toHex(a), toHex(b)]))
  for (const claim of over) await claims.endExpired(claim, started + 24 * HOUR)
  assert.ok(!(await claims.isClaimed(a)) && !(await claims.isClaimed(b)))
  assert.deepEqual(await gather(claims.expired(started + 24 * HOUR)), [])
  // The index has nothing left of these claims, and their rows count as dead.
  assert.ok(!(await store.index.hasAny(Buffer.from('c'))) && !(await store.index.hasAny(Buffer.from('p'))))
  assert.equal(store.compactable(1).length, 0)
})

test('a claim that has expired counts for nothing, even before it is ended', async () => {
  const { claims, clock } = await openClaims()
  await claims.claimForPut(put, [a], HOUR)
  clock.advance(HOUR)
  assert.deepEqual(await claims.hasPut(put, [a, b]), [true, false])
  clock.advance(HOUR)
  assert.deepEqual(await claims.hasPut(put, [a, b]), [false, false])
})

test('a claim that was renewed after it was found expired does not end', async () => {
  const { claims, clock } = await openClaims()
  await claims.claimForPut(put, [a], HOUR)
  clock.advance(10 * HOUR)
  const [old] = await gather(claims.expired(clock.now()))
  await claims.claimForPut(put, [a], HOUR)
  await claims.endExpired(old!, clock.now())
  assert.ok(await claims.isClaimed(a))
  assert.deepEqual(await gather(claims.expired(clock.now())), [])
  const [renewed] = await gather(claims.expired(clock.now() + 5 * HOUR))
  assert.deepEqual(renewed?.multihash, Buffer.from(a))
})

test('a keep that is sent again writes nothing while its claim lasts long enough', async () => {
  const { claims, clock, store } = await openClaims()
  await claims.claimForPut(put, [a], HOUR)
  const before = store.segments.bytes
  clock.advance(10 * 60_000)
  await claims.claimForPut(put, [a], HOUR)
  assert.equal(store.segments.bytes, before)
  assert.deepEqual(await gather(claims.expired(clock.now() + HOUR)), [])
  clock.advance(HOUR)
  await claims.claimForPut(put, [a], HOUR)
  assert.ok(store.segments.bytes > before)
  assert.deepEqual(await gather(claims.expired(clock.now() + HOUR)), [])
})

test("a put's claims survive a power cut and the loss of the index", async () => {
  const { claims, files, clock, database } = await openClaims()
  await claims.claimForPut(put, names, HOUR)
  for (const left of [database.after(database.batches), database.after(0), new MemoryDatabase()]) {
    const again = await openClaims(files.crash().reopen(), left, clock)
    assert.deepEqual(await again.claims.hasPut(put, names), [true, true, true])
    assert.equal((await gather(again.claims.expired(clock.now() + 24 * HOUR))).length, 3)
  }
})

test('the index counts a claim as missing if it lost its expiry row, but not if it ended, was renewed or ran out', async () => {
  const { claims, clock, store, database } = await openClaims()
  await Promise.all([claims.claimForPut(put, [a, b, c], HOUR), claims.claimForPut(put, [a], 2 * HOUR)])
  await claims.claimForPut(put, [b], 2 * HOUR)
  await claims.add(await claims.endOps(put, [c]))
  await store.checkLeaf()
  const all = await gather(claims.expired(clock.now() + 24 * HOUR))
  const over = all.findLast(({ multihash }) => Buffer.from(a).equals(multihash))
  database.corrupt(Buffer.concat([Buffer.from('p'), over!.expires, Buffer.from('c'), a, Buffer.from('p'), put]))
  await assert.rejects(store.checkLeaf(), { name: 'IndexCorruptError' })
  await claims.endExpired(over!, clock.now() + 24 * HOUR)
  await store.checkLeaf()
})

test("a put's claims end once references have taken their place", async () => {
  const { claims } = await openClaims()
  await claims.claimForPut(put, [a, b], HOUR)
  await claims.claimForPut(other, [a], HOUR)
  await claims.add([Claims.reference(a, record), ...(await claims.endOps(put, names))])
  assert.deepEqual(await claims.hasPut(put, names), [false, false, false])
  assert.deepEqual(await claims.hasPut(other, [a]), [true])
  assert.ok((await claims.isReferenced(a)) && !(await claims.isClaimed(b)))
})

for (const table of ['claims', 'expiries'] as const) {
  test(`the leaf check finds a claim of a put that has lost only its row of ${table}`, async () => {
    const { claims, store } = await openClaims()
    await claims.claimForPut(put, [a], HOUR)
    for await (const { key } of store.index.range(indexKey(TABLES[table])))
      await store.index.batch([{ type: 'del', key }])
    await new Promise(resolve => setImmediate(resolve))
    await assert.rejects(store.checkLeaf(), IndexCorruptError)
  })
}

test('a claim and its renewal that a rebuild reads in one batch leave nothing behind once the claim ends', async () => {
  const { claims, files, clock } = await openClaims()
  await claims.claimForPut(put, [a], HOUR)
  clock.advance(HOUR)
  await claims.claimForPut(put, [a], HOUR)
  const again = await openClaims(files.crash().reopen(), new MemoryDatabase(), clock)
  assert.equal((await gather(again.claims.expired(clock.now() + 24 * HOUR))).length, 1)
  await again.claims.add(await again.claims.endOps(put, [a]))
  assert.ok(!(await again.store.index.hasAny(indexKey(TABLES.expiries))))
  await again.store.checkLeaf()
})

test('a claim that runs out but has lost its row frees nothing: the other claims on the block may be lost too', async () => {
  const open = await openClaims()
  const { claims, clock, database, local } = open
  const bytes = Buffer.from('a')
  const cid = nameBlock(bytes)
  await local.keep(cid, bytes, { put, claimMs: HOUR })
  await claims.add([Claims.reference(a, record)])
  const [claim] = await gather(claims.expired(clock.now() + 24 * HOUR))
  database.corrupt(Buffer.concat([Buffer.from('c'), a, Buffer.from('p'), put]))
  database.corrupt(Buffer.concat([Buffer.from('c'), a, Buffer.from('r'), record.id]))
  const endClaim = (): Promise<void> => claims.endExpired(claim!, clock.now() + 24 * HOUR)
  await assert.rejects(freerOf(open).freer.execute({ reason: 'unclaimed', cid, endClaim }), IndexCorruptError)
  assert.deepEqual(Buffer.from((await local.get(cid))!), bytes)
})
