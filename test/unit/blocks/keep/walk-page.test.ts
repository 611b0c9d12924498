import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitmap } from '../../../../src/blocks/bitmap.ts'
import { PAGE_CHUNKS, WALK_BATCH } from '../../../../src/blocks/constants.ts'
import { BlockUnreachableError } from '../../../../src/blocks/errors.ts'
import { pageEnd, walkPage } from '../../../../src/blocks/keep/walk-page.ts'
import type { ManifestChunk } from '../../../../src/blocks/manifest-walk.ts'
import { type BlockCid, blockKey, DAG_CBOR, nameBlock, RAW } from '../../../../src/format/cid.ts'
import { defaultNodeCodec as codec } from '../../../../src/format/manifest.ts'
import { ManualClock } from '../../../fixtures/clock.ts'

const FANOUT = 1_024
/** A terabyte in chunks of a mebibyte. */
const CHUNKS = 1_000_000

const CHUNK = nameBlock(Buffer.from('chunk'), RAW)

/** The clear part of the manifest of such a file. Nothing but names is needed to walk it. */
function terabyte(): { root: BlockCid; nodes: Map<string, Uint8Array> } {
  const nodes = new Map<string, Uint8Array>()
  const node = (leaves: number, links: BlockCid[]): BlockCid => {
    const bytes = codec.encode({ v: 1, leaves, links, sealed: Buffer.alloc(links.length * 40 + 48) }) as Uint8Array
    const cid = nameBlock(bytes, DAG_CBOR)
    nodes.set(blockKey(cid), bytes)
    return cid
  }
  const below = Array.from({ length: Math.ceil(CHUNKS / FANOUT) }, (_, i) => {
    const leaves = Math.min(FANOUT, CHUNKS - i * FANOUT)
    // Each node differs in its first link, and the chunks below it are otherwise the same.
    const links = [nameBlock(Buffer.from(`node ${i}`), RAW), ...Array<BlockCid>(leaves - 1).fill(CHUNK)]
    return node(leaves, links)
  })
  return { root: node(CHUNKS, below), nodes }
}

const { root, nodes } = terabyte()

function walk(first: number, { chunks = Bitmap.full(PAGE_CHUNKS), msABatch = 0, without = new Set<string>() } = {}) {
  const clock = new ManualClock()
  const read: string[] = []
  const batches: ManifestChunk[][] = []
  const local = {
    getOrThrow: async (cid: BlockCid): Promise<Uint8Array> => {
      if (without.has(blockKey(cid))) throw new BlockUnreachableError(cid)
      read.push(blockKey(cid))
      return nodes.get(blockKey(cid)) as Uint8Array
    }
  }
  const onBatch = async (batch: ManifestChunk[]): Promise<void> => {
    batches.push(batch)
    clock.advance(msABatch)
  }
  return { read, batches, covered: walkPage({ clock, local, codec, root, first, chunks, onBatch }) }
}

test('a page of a terabyte is walked by the nodes above it alone', async () => {
  const { read, batches, covered } = walk(2 * PAGE_CHUNKS)
  assert.equal(await covered, PAGE_CHUNKS)
  assert.equal(read.length, 1 + PAGE_CHUNKS / FANOUT)
  const indexes = batches.flat().map(({ chunkIndex }) => chunkIndex)
  assert.deepEqual([indexes[0], indexes.at(-1), indexes.length], [2 * PAGE_CHUNKS, 3 * PAGE_CHUNKS - 1, PAGE_CHUNKS])
})

test('the last page ends with the file, and only chunks that are asked about are looked at', async () => {
  const start = CHUNKS - (CHUNKS % PAGE_CHUNKS)
  const { batches, covered } = walk(start)
  assert.equal(await covered, PAGE_CHUNKS)
  assert.equal(batches.flat().length, CHUNKS % PAGE_CHUNKS)
  const few = new Bitmap()
  for (const bit of [7, 9, 60_000]) few.add(bit)
  const some = walk(PAGE_CHUNKS, { chunks: few })
  await some.covered
  assert.deepEqual(
    some.batches.flat().map(({ chunkIndex }) => chunkIndex - PAGE_CHUNKS),
    [7, 9, 60_000]
  )
})

test('a slow keeper answers for a part of the page, and continues from there', async () => {
  let first = 0
  let answers = 0
  let chunks = 0
  while (first < PAGE_CHUNKS) {
    // Four batches a second.
    const { batches, covered } = walk(first, { chunks: Bitmap.full(PAGE_CHUNKS - first), msABatch: 250 })
    const count = (await covered) as number
    assert.ok(count >= WALK_BATCH)
    assert.ok(batches.length <= 4)
    chunks += batches.flat().length
    first += count
    answers++
  }
  assert.deepEqual([first, chunks], [PAGE_CHUNKS, PAGE_CHUNKS])
  assert.ok(answers >= PAGE_CHUNKS / WALK_BATCH / 4)
})

test('a page whose nodes are not here is not covered, and another one is', async () => {
  const { links } = codec.decode(nodes.get(blockKey(root)) as Uint8Array) as { links: BlockCid[] }
  const without = new Set([blockKey(links[70] as BlockCid)])
  assert.equal(await walk(PAGE_CHUNKS, { without }).covered, undefined)
  assert.equal(await walk(0, { without }).covered, PAGE_CHUNKS)
})

test('a page ends at a multiple of its size', () => {
  assert.deepEqual(
    [pageEnd(0), pageEnd(1), pageEnd(PAGE_CHUNKS - 1), pageEnd(PAGE_CHUNKS)],
    [PAGE_CHUNKS, PAGE_CHUNKS, PAGE_CHUNKS, 2 * PAGE_CHUNKS]
  )
})
