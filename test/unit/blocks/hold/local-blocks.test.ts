import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryBlockstore } from 'blockstore-core'
import { BlockCorruptError } from '../../../../src/blocks/errors.ts'
import { Claims, putIdOf } from '../../../../src/blocks/hold/claims.ts'
import { LocalBlocks } from '../../../../src/blocks/hold/local-blocks.ts'
import { DiskError, NoSpaceError, ReadOnlyError, RowCorruptError } from '../../../../src/disk/errors.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { padme } from '../../../../src/format/padding.ts'
import { peerIdOf } from '../../../../src/format/peer-id.ts'
import { StoppedError } from '../../../../src/util/errors.ts'
import { freerOf, openClaims } from '../../../fixtures/claims-store.ts'
import type { FakeFiles } from '../../../fixtures/fake-files.ts'
import { gather } from '../../../fixtures/streams.ts'

const HOUR = 3_600_000
const WRITER = peerIdOf(Buffer.alloc(32, 1))
const put = putIdOf(WRITER, Buffer.alloc(16, 1))
const small = Buffer.alloc(5_000, 'small ')
const large = Buffer.alloc(100_000, 'large ')
const nothing = async (): Promise<void> => {}

for (const bytes of [small, large]) {
  const cid = nameBlock(bytes)

  test(`a block of ${bytes.byteLength} bytes that rots is never returned, and can be replaced`, async () => {
    const { files, local } = await openClaims()
    await local.keep(cid, bytes, nothing)
    assert.deepEqual(Buffer.from((await local.get(cid))!), bytes)
    harm(files, bytes, (content, at) => {
      content[at + bytes.byteLength - 1]! ^= 1
      return content
    })
    await assert.rejects(local.get(cid), error => error instanceof BlockCorruptError && error.peer === null)
    await local.replace(cid, bytes)
    assert.deepEqual(Buffer.from((await local.get(cid))!), bytes)
    assert.equal(await local.sizeOf(cid), bytes.byteLength)
  })
}

test('a block that is not here is not corrupt', async () => {
  const { local } = await openClaims()
  const cid = nameBlock(small)
  assert.equal(await local.get(cid), undefined)
  assert.equal(await local.sizeOf(cid), 0)
  assert.equal(await local.claimIfHere(cid, () => assert.fail('claimed')), false)
})

test('a block that is kept and released at the same time stays if it is claimed, whichever comes first', async () => {
  const open = await openClaims()
  const { local, claims } = open
  const cid = nameBlock(small)
  const claim = { put, claimMs: HOUR }
  for (const order of [0, 1]) {
    await local.keep(cid, small, nothing)
    const release = () => freerOf(open).freer.execute({ reason: 'unclaimed', cid })
    const keep = () => local.keep(cid, small, claim)
    await Promise.all(order === 0 ? [release(), keep()] : [keep(), release()])
    assert.ok(await local.has(cid))
    assert.ok(await claims.isClaimed(cid.multihash.bytes))
    await claims.add(await claims.endOps(put, [cid.multihash.bytes]))
    assert.equal(await release(), undefined)
    assert.ok(!(await local.has(cid)))
  }
})

test('nothing frees a block between the moment it is found here and the moment it is claimed', async () => {
  const open = await openClaims()
  const { local } = open
  const cid = nameBlock(small)
  const claim = { put, claimMs: HOUR }
  await local.keep(cid, small, nothing)
  const [isClaimed, stays] = await Promise.all([
    local.claimIfHere(cid, claim),
    freerOf(open).freer.execute({ reason: 'unclaimed', cid })
  ])
  assert.deepEqual([isClaimed, stays, await local.has(cid)], [true, 'something claims it', true])
})

test('a release that may not free ends no claim and frees nothing', async () => {
  const open = await openClaims()
  const { local, claims } = open
  const cid = nameBlock(small)
  await local.keep(cid, small, { put, claimMs: HOUR })
  const endClaim = async (): Promise<void> => claims.add(await claims.endOps(put, [cid.multihash.bytes]))
  const plan = { reason: 'unclaimed', cid, endClaim } as const
  assert.ok(await freerOf(open, { mayFree: () => false }).freer.execute(plan))
  assert.ok(await claims.isClaimed(cid.multihash.bytes))
  // The claim has ended, but another owner remains.
  await claims.add([Claims.reference(cid.multihash.bytes, { by: 'record', id: Buffer.alloc(32), replicas: 1 })])
  assert.equal(await freerOf(open).freer.execute(plan), 'something claims it')
  assert.ok(await local.has(cid))
})

test('a block that nothing claims is cached, not kept, and is read and verified before it is claimed', async () => {
  const { files, local, claims } = await openClaims()
  const [cid, other] = [nameBlock(small), nameBlock(chunk)]
  const claim = { put, claimMs: HOUR }
  await local.keep(cid, small)
  await local.keep(other, chunk)
  assert.deepEqual([await local.has(cid), await local.isKept(cid)], [true, false])
  assert.ok(await local.claimIfHere(cid, claim))
  assert.ok(await local.isKept(cid))
  // Damage that the length does not show is found, since the block becomes a copy that others may count on.
  harm(files, chunk, content => Buffer.from(content).fill(0))
  assert.ok(await local.has(other))
  assert.equal(await local.claimIfHere(other, claim), false)
  assert.deepEqual([await claims.isClaimed(other.multihash.bytes), local.bad.left], [false, 1])
})

test('no part of a keep still runs once it has failed', async () => {
  let isClaimed = false
  const store = {
    has: async () => false,
    put: async () => {
      throw new Error('the disk is broken')
    }
  }
  const local = new LocalBlocks(store as never, {} as never)
  const claim = async (): Promise<void> => {
    await new Promise(resolve => setImmediate(resolve))
    isClaimed = true
  }
  await assert.rejects(local.keep(nameBlock(small), small, claim), /the disk is broken/)
  assert.ok(isClaimed)
})

test('a block that is damaged or cannot be read is reported, and one that is not here is not', async () => {
  const cid = nameBlock(small)
  const told: string[] = []
  const codeOf = async (failure: Error | Uint8Array): Promise<unknown> => {
    const store = {
      async *get() {
        if (failure instanceof Error) throw failure
        yield failure
      }
    }
    const local = new LocalBlocks(store as never, {} as never, error => told.push(error.name))
    return local.get(cid).then(
      bytes => bytes,
      (error: Error) => error.name
    )
  }
  assert.equal(await codeOf(Object.assign(new Error('none'), { name: 'NotFoundError' })), undefined)
  assert.equal(await codeOf(new StoppedError('stopped')), 'StoppedError')
  assert.deepEqual(told, [])
  assert.equal(await codeOf(new DiskError('the disk reported EIO')), 'BlockUnreadableError')
  assert.equal(await codeOf(new ReadOnlyError('the disk reported EACCES')), 'BlockUnreadableError')
  assert.equal(await codeOf(new RowCorruptError('a row is damaged')), 'BlockCorruptError')
  assert.equal(await codeOf(Buffer.from('other bytes')), 'BlockCorruptError')
  assert.deepEqual(told, ['BlockUnreadableError', 'BlockUnreadableError', 'BlockCorruptError', 'BlockCorruptError'])
})

/** Changes the file that holds a block. */
function harm(files: FakeFiles, bytes: Uint8Array, change: (content: Buffer, at: number) => Buffer): void {
  for (const [path, content] of files.contents()) {
    const at = content.indexOf(bytes.subarray(0, 1_000))
    if (at >= 0) files.corrupt(path, content => change(content, at))
  }
}

/** Bytes of a length that a sealed chunk may have. */
const chunk = Buffer.alloc(padme(99_000) + 52, 'chunk ')

for (const [what, length] of [
  ['to nothing', 0],
  ['to a length that no sealed chunk has', 70_001],
  ['to the length of another sealed chunk', padme(70_000) + 52]
] as const) {
  test(`a block whose segment was cut ${what} is written again by a keep that has its bytes`, async () => {
    const { files, local, capacity } = await openClaims()
    const cid = nameBlock(chunk)
    await local.keep(cid, chunk)
    const usedBytes = capacity.usedBytes
    harm(files, chunk, (content, at) => content.subarray(0, at + length))
    await local.keep(cid, chunk)
    assert.ok(await local.has(cid))
    assert.deepEqual(Buffer.from((await local.get(cid))!), chunk)
    assert.equal(capacity.usedBytes, usedBytes)
  })
}

for (const length of [0, 70_001]) {
  test(`a block whose segment was cut to ${length} bytes does not count as here before anybody has read it`, async () => {
    const { files, local } = await openClaims()
    const cid = nameBlock(chunk)
    await local.keep(cid, chunk)
    harm(files, chunk, (content, at) => content.subarray(0, at + length))
    assert.ok(!(await local.has(cid)))
    assert.ok(!(await local.claimIfHere(cid, () => assert.fail('claimed a block that is cut short'))))
    assert.deepEqual(local.bad, { found: 1, left: 1 })
  })
}

for (const bytes of [small, chunk]) {
  test(`a rotten block of ${bytes.byteLength} bytes counts as missing once it is known, until it is kept again`, async () => {
    const { files, local } = await openClaims()
    const cid = nameBlock(bytes)
    await local.keep(cid, bytes)
    harm(files, bytes, (content, at) => {
      content[at + bytes.byteLength - 1]! ^= 1
      return content
    })
    await assert.rejects(local.get(cid), BlockCorruptError)
    assert.ok(!(await local.has(cid)))
    assert.ok(!(await local.claimIfHere(cid, () => assert.fail('claimed a bad block'))))
    await local.keep(cid, bytes)
    assert.ok(await local.claimIfHere(cid, nothing))
    assert.deepEqual(Buffer.from((await local.get(cid))!), bytes)
    assert.deepEqual(local.bad, { found: 1, left: 0 })
  })
}

test('a whole block of a length that no sealed chunk has counts as here, and is read only once for that', async () => {
  const cid = nameBlock(small)
  let reads = 0
  const store = {
    sizeOf: async () => small.byteLength,
    async *get() {
      reads++
      yield small
    }
  }
  const local = new LocalBlocks(store as never, {} as never)
  assert.deepEqual([await local.has(cid), await local.has(cid), reads], [true, true, 1])
})

test('a bad block is freed like any other, and is forgotten then', async () => {
  const open = await openClaims()
  const { files, local } = open
  const cid = nameBlock(chunk)
  await local.keep(cid, chunk)
  harm(files, chunk, (content, at) => content.subarray(0, at + 10))
  assert.ok(!(await local.has(cid)))
  assert.equal(await freerOf(open).freer.execute({ reason: 'unclaimed', cid }), undefined)
  assert.deepEqual([await gather(local.all()), local.bad.left], [[], 0])
})

test('a block of a store without sizes is written again once it is known to be bad', async () => {
  const store = new MemoryBlockstore()
  const local = new LocalBlocks(store, {} as never)
  const cid = nameBlock(small)
  await local.keep(cid, small)
  await store.put(cid, Buffer.from('rot'))
  await assert.rejects(local.get(cid), BlockCorruptError)
  assert.ok(!(await local.has(cid)))
  await local.keep(cid, small)
  assert.ok(await local.has(cid))
})

for (const bytes of [small, large])
  test(`a block of ${bytes.byteLength} bytes that could not be read once stays if the disk has no room to write it again`, async () => {
    const { blockstore, claims, capacity } = await openClaims()
    const cid = nameBlock(bytes)
    let isUnreadable = false
    const store = Object.assign(Object.create(blockstore), {
      get: (...parameters: Parameters<typeof blockstore.get>) => {
        if (isUnreadable) throw new DiskError('the disk reported EIO')
        return blockstore.get(...parameters)
      },
      put: blockstore.put.bind(blockstore),
      putAll: blockstore.putAll.bind(blockstore),
      delete: blockstore.delete.bind(blockstore),
      replace: blockstore.replace.bind(blockstore),
      sizeOf: blockstore.sizeOf.bind(blockstore)
    })
    const local = new LocalBlocks(store, claims)
    await local.keep(cid, bytes, nothing)
    const { usedBytes } = capacity
    isUnreadable = true
    await assert.rejects(local.get(cid), { name: 'BlockUnreadableError' })
    capacity.take = async () => {
      throw new NoSpaceError('this node has no room left')
    }
    await assert.rejects(local.keep(cid, bytes, nothing), NoSpaceError)
    isUnreadable = false
    assert.deepEqual(Buffer.from((await local.get(cid))!), bytes)
    assert.equal(capacity.usedBytes, usedBytes)
  })
