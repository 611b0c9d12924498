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
import { type BlockCid, blockKey } from '../../../src/format/cid.ts'
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

test('a walk of which nothing is chosen yields no batch', async () => {
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

test('a walk that may be cut short yields what it had chosen until then', async () => {
  const errors: unknown[] = []
  const onCutShort = (error: unknown): unknown => errors.push(error)
  const batches = await collect(walkBatches({ root, readNode: readAllButLast(), codec, select: isAny, onCutShort }))
  // The root, both nodes below it, and the chunks of the first.
  assert.equal(batches.flat().length, 3 + 1_024)
  assert.deepEqual(
    errors.map(error => (error as Error).name),
    ['BlockUnreachableError']
  )
})

test('an error that the caller of a walk does not accept is thrown', async () => {
  const onCutShort = (error: unknown): never => {
    throw error
  }
  const batches = walkBatches({ root, readNode: readAllButLast(), codec, select: isAny, onCutShort })
  await assert.rejects(collect(batches), BlockUnreachableError)
})
