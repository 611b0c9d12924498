import assert from 'node:assert/strict'
import { test } from 'node:test'
import { indexKey } from '../../../src/disk/index-db.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import { type OpenStore, openStore } from '../../fixtures/disk-store.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'

const [A, B] = [1, 2].map(byte => {
  const bytes = Buffer.alloc(700, byte)
  return { cid: nameBlock(bytes), bytes }
}) as [{ cid: ReturnType<typeof nameBlock>; bytes: Buffer }, { cid: ReturnType<typeof nameBlock>; bytes: Buffer }]
/** Each segment has room for one block. */
const OPTIONS = { segmentBytes: 600 }

function isNoted({ index }: OpenStore, { cid }: typeof A): Promise<boolean> {
  return index.has(indexKey(TABLES.blocks, cid.multihash.bytes))
}

async function segmentsOf({ segments }: OpenStore, { cid }: typeof A): Promise<number[]> {
  const found = new Set<number>()
  for await (const { place, payload } of segments.scan({ segment: 1, offset: 0 }))
    if (Buffer.from(payload).includes(Buffer.from(cid.multihash.bytes)) && payload.byteLength > 100)
      found.add(place.segment)
  return [...found]
}

test('the index forgets a block that was freed once the segment with its dead row is gone, and no sooner', async () => {
  const open = await openStore(new FakeFiles(), OPTIONS)
  await open.blocks.put(A.cid, A.bytes)
  await open.blocks.put(B.cid, B.bytes)
  await open.blocks.delete(A.cid)
  assert.ok(await isNoted(open, A))
  await open.store.checkLeaf()
  const [segment] = await segmentsOf(open, A)
  await open.store.compact(segment as number)
  assert.equal(await isNoted(open, A), false)
  assert.equal(await open.blocks.has(A.cid), false)
  assert.ok(await open.blocks.has(B.cid))
  await open.store.checkLeaf()
  assert.deepEqual(open.corruptions, [])
})

test('a block with dead rows in two segments stays noted until both are gone, in either order, and after a move', async () => {
  for (const order of [(all: number[]) => all, (all: number[]) => all.toReversed()]) {
    const files = new FakeFiles()
    const open = await openStore(files, OPTIONS)
    await open.blocks.put(A.cid, A.bytes)
    await open.blocks.delete(A.cid)
    await open.blocks.put(A.cid, A.bytes)
    await open.blocks.put(B.cid, B.bytes)
    await open.blocks.delete(A.cid)
    const found = order(await segmentsOf(open, A))
    assert.equal(found.length, 2)
    for (const segment of found) {
      assert.ok(await isNoted(open, A))
      await open.store.checkLeaf()
      await open.store.compact(segment)
    }
    assert.equal(await isNoted(open, A), false)
    const [of] = await segmentsOf(open, B)
    // Another segment begins, so that the one of the block can be compacted.
    await open.blocks.put(A.cid, A.bytes)
    await open.store.compact(of as number)
    const [moved] = await segmentsOf(open, B)
    assert.notEqual(moved, of)
    await open.blocks.delete(B.cid)
    await open.blocks.put(nameBlock(Buffer.alloc(800)), Buffer.alloc(800))
    await open.store.compact(moved as number)
    assert.equal(await isNoted(open, B), false)
    assert.deepEqual(open.corruptions, [])
    const again = await openStore(files.crash(), OPTIONS)
    assert.deepEqual([await again.blocks.has(A.cid), await again.blocks.has(B.cid)], [true, false])
  }
})
