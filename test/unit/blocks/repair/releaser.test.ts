import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BlockUnreachableError } from '../../../../src/blocks/errors.ts'
import { claimingNodeOp } from '../../../../src/blocks/hold/claiming-nodes.ts'
import { Claims, putIdOf } from '../../../../src/blocks/hold/claims.ts'
import { walkManifest } from '../../../../src/blocks/manifest-walk.ts'
import type { RecordRef } from '../../../../src/blocks/record-ref.ts'
import {
  recordReferenceOps,
  recordReleaseOps,
  referenceOf,
  unfinishedKey
} from '../../../../src/blocks/repair/record-rows.ts'
import { type Released, Releaser } from '../../../../src/blocks/repair/releaser.ts'
import { indexKey } from '../../../../src/disk/index-db.ts'
import { TABLES } from '../../../../src/disk/tables.ts'
import { type BlockCid, blockKey, isNode } from '../../../../src/format/cid.ts'
import { defaultNodeCodec as codec } from '../../../../src/format/manifest.ts'
import { peerIdOf } from '../../../../src/format/peer-id.ts'
import { toHex } from '../../../../src/util/bytes.ts'
import { forEachUntilFailure } from '../../../../src/util/for-each.ts'
import { freerOf, openClaims } from '../../../fixtures/claims-store.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { CrashError, FakeFiles, KEEPS_ALL, LOSES_ALL } from '../../../fixtures/fake-files.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { MemoryDatabase } from '../../../fixtures/memory-database.ts'
import { sealInMemory } from '../../../fixtures/sealed-files.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'

const HOUR = 60 * 60_000
const author = peerIdOf(Buffer.alloc(32, 1))
const never = new AbortController().signal

interface File {
  root: BlockCid
  blocks: ReadonlyMap<string, Uint8Array>
}

/** A sealed file. Files that begin with the same text have the same first chunks, and the same full nodes over them. */
async function fileOf(chunks: number, tail = 0, chunkBytes = 64): Promise<File> {
  const text = Buffer.concat([seededChance(1).bytes(chunks * chunkBytes - tail), Buffer.alloc(tail, 7)])
  const { root, blocks } = await sealInMemory(text, { chunkBytes })
  return { root: (root as { cid: BlockCid }).cid, blocks }
}

/** A record that needs a file. */
const recordOf = (n: number, { root }: { root: BlockCid }): RecordRef => {
  return { id: Buffer.alloc(32, n), root, replicas: 1, author }
}

/** A disk with the part that frees what was released, as a walk and a catalog leave it. */
async function setup(files = new FakeFiles(), database = new MemoryDatabase(), clock = new ManualClock()) {
  const open = await openClaims(files, database, clock)
  const { claims, local, store } = open
  const state = { mayFree: true, walking: false, elsewhere: new Map<string, Uint8Array>(), asked: 0 }
  const readNode = async (cid: BlockCid): Promise<Uint8Array> => {
    const here = await local.get(cid).catch(() => undefined)
    if (here !== undefined) return here
    state.asked++
    const there = state.elsewhere.get(blockKey(cid))
    if (there === undefined) throw new BlockUnreachableError(cid)
    return there
  }
  const mayFree = (): boolean => state.mayFree
  const isWalkingReleased = async (): Promise<boolean> => state.walking
  const freeing = freerOf(open, { readNode, mayFree, isWalkingReleased })
  const releaser = new Releaser({
    ...open,
    ...freeing,
    logger: silentLogger,
    codec,
    index: store.index,
    mayFree,
    caughtUp: async () => {},
    forgetRecord: async () => !state.walking,
    isBusy: () => false,
    onError: error => assert.fail(error as Error)
  })
  const add = async (record: RecordRef, blocks: ReadonlyMap<string, Uint8Array>): Promise<void> => {
    await claims.add(recordReferenceOps(record).filter(({ key }) => !Buffer.from(key).equals(unfinishedKey(record.id))))
    const bytesOf = (cid: BlockCid): Uint8Array => blocks.get(blockKey(cid)) as Uint8Array
    const walk = walkManifest(record.root, async cid => bytesOf(cid), codec, { isOnce: true })
    await forEachUntilFailure(walk, { atOnce: 64 }, ({ cid, parent }) => {
      const ops = parent === null ? [] : [referenceOf(cid, parent)]
      if (isNode(cid)) ops.push(claimingNodeOp(cid.multihash.bytes) as (typeof ops)[0])
      return local.keep(cid, bytesOf(cid), () => claims.add(ops))
    })
  }
  const release = (record: RecordRef): Promise<void> => store.index.batch(recordReleaseOps(record))
  const run = (): Promise<Released> => releaser.run(never)
  const here = async (): Promise<string[]> => {
    const all: string[] = []
    for await (const multihash of local.all()) all.push(toHex(multihash))
    return all.sort()
  }
  /** The rows that say why blocks stay, or that are still to be looked at. */
  const rows = async (): Promise<string[]> => {
    const all: string[] = []
    for (const table of [TABLES.claims, TABLES.nodes, TABLES.releases])
      for await (const { key } of store.index.range(indexKey(table))) all.push(toHex(key))
    return all
  }
  return { ...open, ...freeing, state, releaser, add, release, run, here, rows }
}

test('a released file goes with all its nodes, claims and notes', async () => {
  const file = await fileOf(1_030)
  const record = recordOf(1, file)
  const { add, release, run, here, rows, freer } = await setup()
  await add(record, file.blocks)
  assert.deepEqual(await here(), [...file.blocks.keys()].sort())
  await release(record)
  const { isStopped, unreadableNodes } = await run()
  assert.deepEqual(await here(), [])
  assert.deepEqual(await rows(), [])
  const bytes = [...file.blocks.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  assert.deepEqual([freer.freed, isStopped, unreadableNodes], [{ blocks: file.blocks.size, bytes }, false, 0])
})

test('a block that another record needs stays, with everything below it, and goes with that record', async () => {
  // The last chunk differs, and so do the last node and the root. The first node is the same.
  const [a, b] = [await fileOf(1_030), await fileOf(1_030, 10)]
  const [first, second] = [recordOf(1, a), recordOf(2, b)]
  const { add, release, run, here, rows } = await setup()
  await add(first, a.blocks)
  await add(second, b.blocks)
  await release(first)
  const { freedBlocks } = await run()
  assert.deepEqual(await here(), [...b.blocks.keys()].sort())
  assert.equal(freedBlocks, 3)
  await release(second)
  await run()
  assert.deepEqual(await here(), [])
  assert.deepEqual(await rows(), [])
})

test('two records with one root: the content stays until both are released', async () => {
  const file = await fileOf(3)
  const [first, second] = [recordOf(1, file), recordOf(2, file)]
  const { add, release, run, here, rows } = await setup()
  await add(first, file.blocks)
  await add(second, file.blocks)
  await release(first)
  await run()
  assert.equal((await here()).length, 4)
  await release(second)
  await run()
  assert.deepEqual([await here(), await rows()], [[], []])
})

test('nothing goes while it is not certain what is needed, or while a released record is being walked', async () => {
  const file = await fileOf(3)
  const record = recordOf(1, file)
  const { add, release, run, here, state } = await setup()
  await add(record, file.blocks)
  await release(record)
  state.walking = true
  await run()
  assert.equal((await here()).length, 4)
  Object.assign(state, { walking: false, mayFree: false })
  assert.ok((await run()).isStopped)
  assert.equal((await here()).length, 4)
  state.mayFree = true
  await run()
  assert.deepEqual(await here(), [])
})

test('a put that claims a block of a released file keeps it, and only it', async () => {
  const file = await fileOf(3)
  const record = recordOf(1, file)
  const { add, release, run, here, claims } = await setup()
  await add(record, file.blocks)
  const [chunk] = [...file.blocks.keys()]
  const put = putIdOf(author, Buffer.alloc(16))
  await claims.claimForPut(put, [Buffer.from(chunk as string, 'hex')], HOUR)
  await release(record)
  await run()
  assert.deepEqual(await here(), [chunk])
})

test('a node that cannot be read stays with all that only it claims, until another member delivers it', async () => {
  const file = await fileOf(3)
  const record = recordOf(1, file)
  const { add, release, run, here, rows, state, blockstore, clock, releaser } = await setup()
  await add(record, file.blocks)
  await blockstore.delete(record.root)
  await release(record)
  assert.equal((await run()).unreadableNodes, 1)
  assert.equal((await here()).length, 3)
  assert.equal(releaser.unreadableNodes, 1)
  // Nobody is asked again before a day has passed or a member has connected.
  assert.equal((await run()).unreadableNodes, 1)
  assert.equal(state.asked, 1)
  state.elsewhere.set(blockKey(record.root), file.blocks.get(blockKey(record.root)) as Uint8Array)
  clock.advance(25 * HOUR)
  assert.equal((await run()).unreadableNodes, 0)
  assert.deepEqual([await here(), await rows(), releaser.unreadableNodes], [[], [], 0])
})

test('after a rebuild of the index, a record that is released before any walk goes with all its blocks', async () => {
  const file = await fileOf(1_030)
  const record = recordOf(1, file)
  const before = await setup()
  await before.add(record, file.blocks)
  await before.store.close()
  const { release, run, here, rows, claims } = await setup(before.files, new MemoryDatabase())
  await claims.add([Claims.reference(record.root.multihash.bytes, { by: 'record', id: record.id, replicas: 1 })])
  await release(record)
  await run()
  assert.deepEqual([await here(), await rows()], [[], []])
})

/**
 * Releases `gone` while `kept` is needed, once for each operation at which the power may fail, and checks what the next
 * start makes of it.
 */
async function cutEverywhere(gone: File, kept: File, points: number): Promise<void> {
  const [first, second] = [recordOf(1, gone), recordOf(2, kept)]
  const chance = seededChance(5)
  const base = await setup()
  await base.add(first, gone.blocks)
  await base.add(second, kept.blocks)
  await base.store.close()
  /** Runs until the power fails at an operation of the disk. Returns the number of operations. */
  async function cutAt(operation: number): Promise<number> {
    let [count, isArmed] = [0, false]
    const files = base.files.copy().reopen({
      before: () => {
        if (isArmed && ++count > operation) throw new CrashError('the power is cut')
      }
    })
    const database = base.database.after(base.database.batches)
    const { release, run, clock } = await setup(files, database)
    const batchesBefore = database.batches
    await release(first)
    isArmed = true
    await run().catch(() => {})
    const batches = batchesBefore + Math.floor(chance.fraction() * (database.batches - batchesBefore + 1))
    const disk = files.crash(chance.fraction() < 0.5 ? LOSES_ALL : KEEPS_ALL)
    const after = await setup(disk, database.after(batches), clock)
    // If the release itself was lost, the catalog decides it again.
    if (!(await after.claims.isReleased(first))) await after.release(first)
    await after.run()
    const here = new Set(await after.here())
    for (const key of kept.blocks.keys()) {
      assert.ok(here.has(key), 'a needed block is here')
      assert.ok(await after.claims.isClaimed(Buffer.from(key, 'hex')), 'a needed block is claimed')
    }
    // All claims of what is kept, and none of what is gone, which would stay for good.
    assert.deepEqual(await after.rows(), await rowsOf(kept))
    return count
  }
  const rowsOf = async ({ blocks }: File): Promise<string[]> => {
    const { add, rows } = await setup()
    await add(second, blocks)
    return rows()
  }
  const operations = await cutAt(Number.POSITIVE_INFINITY)
  for (let n = 0; n < operations; n += Math.max(1, Math.floor(operations / points))) await cutAt(n)
}

test('after a power cut at any moment, the next run frees the rest of a small file, and nothing that is needed', async () => {
  await cutEverywhere(await fileOf(5, 0, 80_000), await fileOf(5, 10, 80_000), 60)
})

test('after a power cut at any moment, the next run frees the rest of a file of several nodes', async () => {
  await cutEverywhere(await fileOf(1_030), await fileOf(1_030, 10), 8)
})
