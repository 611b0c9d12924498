import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WALK_BATCH } from '../../../src/blocks/constants.ts'
import { BlockUnreachableError } from '../../../src/blocks/errors.ts'
import {
  isAny,
  isChunk,
  type ManifestBlock,
  type ReadNode,
  walkBatches,
  walkManifest
} from '../../../src/blocks/manifest-walk.ts'
import { type BlockCid, blockKey, nameBlock, RAW } from '../../../src/format/cid.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { defaultNodeCodec as codec } from '../../../src/format/manifest.ts'
import { sealInMemory } from '../../fixtures/sealed-files.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const CHUNKS = 1_300

/** A file whose root links to two nodes, of 1,024 and of 276 chunks. */
const { root: fileRoot, blocks } = await sealInMemory(seededChance(1).bytes(CHUNKS * 64), { chunkBytes: 64 })
const root = fileRoot!.cid
const read: ReadNode = async cid => blocks.get(blockKey(cid)) as Uint8Array

/** Reads all nodes but the last one below the root. */
function readAllButLast(): ReadNode {
  let nodes = 0
  return async (cid, parent) => {
    if (++nodes === 3) throw new BlockUnreachableError(cid)
    return read(cid, parent)
  }
}

async function collect(batches: AsyncIterable<ManifestBlock[]>): Promise<ManifestBlock[][]> {
  const all: ManifestBlock[][] = []
  for await (const batch of batches) all.push(batch)
  return all
}

test('a walk yields every chunk once, in order, in batches of a limited size', async () => {
  const batches = await collect(walkBatches({ root, readNode: read, codec, select: isChunk }))
  assert.deepEqual(
    batches.map(batch => batch.length),
    [WALK_BATCH, WALK_BATCH, WALK_BATCH, WALK_BATCH, WALK_BATCH, CHUNKS - 5 * WALK_BATCH]
  )
  assert.deepEqual(
    batches.flat().map(({ chunkIndex }) => chunkIndex),
    Array.from({ length: CHUNKS }, (_, i) => i)
  )
})

test('a walk of every block yields the manifest nodes among the chunks, as walkManifest does', async () => {
  const all: ManifestBlock[] = []
  for await (const block of walkManifest(root, read, codec)) all.push(block)
  assert.equal(all.length, CHUNKS + 3)
  assert.deepEqual((await collect(walkBatches({ root, readNode: read, codec, select: isAny }))).flat(), all)
})

test('a walk whose filter chooses nothing yields no batch', async () => {
  const select = (_: ManifestBlock): _ is ManifestBlock => false
  assert.deepEqual(await collect(walkBatches({ root, readNode: read, codec, select })), [])
})

test('a file of one chunk is one batch of one, and nothing is read', async () => {
  const small = await sealInMemory(Buffer.from('some text'))
  const readNode = async (): Promise<never> => assert.fail('a node was read')
  const batches = await collect(walkBatches({ root: small.root!.cid, readNode, codec, select: isChunk }))
  assert.deepEqual(batches, [[{ cid: small.root!.cid, parent: null, chunkIndex: 0 }]])
})

test('a node is read only when the batches before it have been taken', async () => {
  const nodes: BlockCid[] = []
  const readNode: ReadNode = async (cid, parent) => {
    nodes.push(cid)
    return read(cid, parent)
  }
  const batches = walkBatches({ root, readNode, codec, select: isChunk })
  for (let i = 0; i < 4; i++) await batches.next()
  assert.equal(nodes.length, 2, 'the root and its first node')
  await batches.next()
  assert.equal(nodes.length, 3)
})

test('a reader of nodes is told which node links to each', async () => {
  const parents: Array<Uint8Array | null> = []
  const readNode: ReadNode = async (cid, parent) => {
    parents.push(parent)
    return read(cid, parent)
  }
  await collect(walkBatches({ root, readNode, codec, select: isChunk }))
  assert.deepEqual(parents, [null, root.multihash.bytes, root.multihash.bytes])
})

test('an error of the reader ends the walk', async () => {
  const batches = walkBatches({ root, readNode: readAllButLast(), codec, select: isAny })
  const lengths: number[] = []
  await assert.rejects(async () => {
    for await (const batch of batches) lengths.push(batch.length)
  }, BlockUnreachableError)
  assert.deepEqual(lengths, [WALK_BATCH, WALK_BATCH, WALK_BATCH, WALK_BATCH])
})

test('a walk that may skip nodes goes on after a node that cannot be read', async () => {
  const errors: unknown[] = []
  const onSkip = (error: unknown, firstChunk: number): unknown => errors.push(error, firstChunk)
  const batches = await collect(walkBatches({ root, readNode: readAllButLast(), codec, select: isAny, onSkip }))
  // The root, both nodes below it, and the chunks of the first.
  assert.equal(batches.flat().length, 3 + 1_024)
  assert.deepEqual(
    errors.map(error => (error as Error).name ?? error),
    ['BlockUnreachableError', 1_024]
  )
})

test('an error that the caller of a walk does not accept is thrown', async () => {
  const onSkip = (error: unknown): never => {
    throw error
  }
  const batches = walkBatches({ root, readNode: readAllButLast(), codec, select: isAny, onSkip })
  await assert.rejects(collect(batches), BlockUnreachableError)
})

test('a walk that skips the first of two nodes yields the chunks below the second', async () => {
  let nodes = 0
  const readNode: ReadNode = async (cid, parent) => {
    if (++nodes === 2) throw new BlockUnreachableError(cid)
    return read(cid, parent)
  }
  const skipped: number[] = []
  const onSkip = (_: unknown, firstChunk: number): unknown => skipped.push(firstChunk)
  const chunks = (await collect(walkBatches({ root, readNode, codec, select: isChunk, onSkip }))).flat()
  assert.deepEqual([skipped, chunks.length, chunks[0]?.chunkIndex], [[0], CHUNKS - 1_024, 1_024])
})

test('a walk that begins later reads no node before its start', async () => {
  let reads = 0
  const readNode: ReadNode = async (cid, parent) => {
    reads++
    return read(cid, parent)
  }
  const chunks = (await collect(walkBatches({ root, readNode, codec, select: isChunk, from: 1_100 }))).flat()
  assert.deepEqual([reads, chunks.length, chunks[0]?.chunkIndex], [2, CHUNKS - 1_100, 1_100])
})

/** Manifest nodes of 1,024 equal links each, one above the other, over one chunk. Returns the root of each height. */
function bomb(heights: number): { roots: BlockCid[]; nodes: Map<string, Uint8Array> } {
  const nodes = new Map<string, Uint8Array>()
  const roots: BlockCid[] = []
  let link = nameBlock(Buffer.from('a chunk'), RAW)
  for (let height = 1; height <= heights; height++) {
    const value = {
      v: 1,
      leaves: 1_024 ** height,
      links: Array(1_024).fill(link),
      sealed: Buffer.alloc(1_024 * 40 + 48)
    }
    const bytes = codec.encode(value) as Uint8Array
    link = nameBlock(bytes, codec.code)
    nodes.set(blockKey(link), bytes)
    roots.push(link)
  }
  return { roots, nodes }
}

test('a walk reads a node once, however many links lead to it', async () => {
  const { roots, nodes } = bomb(2)
  let reads = 0
  const readNode: ReadNode = async cid => {
    reads++
    return nodes.get(blockKey(cid)) as Uint8Array
  }
  const chunks = (
    await collect(walkBatches({ root: roots[1]!, readNode, codec, select: isChunk, isOnce: true }))
  ).flat()
  assert.deepEqual([reads, chunks.length], [2, 1_024])
})

test('a root that states more chunks than a file may have is refused, and nothing below it is read', async () => {
  const { roots, nodes } = bomb(4)
  for (const root of [roots[2]!, roots[3]!]) {
    let reads = 0
    const readNode: ReadNode = async cid => {
      reads++
      return nodes.get(blockKey(cid)) as Uint8Array
    }
    await assert.rejects(collect(walkBatches({ root, readNode, codec, select: isChunk })), FormatError)
    assert.equal(reads, 1)
  }
})
