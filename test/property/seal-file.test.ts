import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import * as dagJson from '@ipld/dag-json'
import fc from 'fast-check'
import { pipe } from 'it-pipe'
import { fixedChunker } from '../../src/format/chunker.ts'
import { type BlockCid, blockKey, verifyBlock } from '../../src/format/cid.ts'
import { FormatError, SealError } from '../../src/format/errors.ts'
import { decodeNode, defaultNodeCodec, type FileRoot, type NodeCodec, openNode } from '../../src/format/manifest.ts'
import { epochSubkeys } from '../../src/format/network-key.ts'
import { open, seal, secretKey } from '../../src/format/seal.ts'
import { openChunkOf, sealFile } from '../../src/format/seal-file.ts'
import { refs } from '../../src/fs/refs.ts'

const subkey = secretKey(epochSubkeys(Buffer.alloc(32, 7)).content)
const KIB = 1024
const MIB = 1024 * KIB

async function sealAll(
  bytes: Uint8Array,
  { chunkBytes = MIB, codec = defaultNodeCodec }: { chunkBytes?: number; codec?: NodeCodec } = {}
): Promise<{ root: FileRoot | null; blocks: Map<string, Uint8Array> }> {
  const blocks = new Map<string, Uint8Array>()
  let root: FileRoot | null = null
  for await (const block of pipe([bytes], fixedChunker(chunkBytes), sealFile({ subkey, codec }))) {
    assert.ok(verifyBlock(block.cid, block.bytes))
    blocks.set(blockKey(block.cid), block.bytes)
    if (block.root !== undefined) root = block.root
  }
  return { root, blocks }
}

async function readSpan(
  root: FileRoot,
  blocks: ReadonlyMap<string, Uint8Array>,
  from: number,
  to: number,
  codec: NodeCodec = defaultNodeCodec
): Promise<Buffer> {
  const read = async (cid: BlockCid): Promise<Uint8Array> => blocks.get(blockKey(cid)) as Uint8Array
  const parts: Uint8Array[] = []
  for await (const ref of refs(root, { from, to }, read, codec))
    parts.push(openChunkOf(ref, await read(ref.cid)).subarray(ref.from, ref.to))
  return Buffer.concat(parts)
}

test('sealed and opened, a file is itself, at every size that matters', async () => {
  for (const size of [1, KIB - 1, KIB, KIB + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 17]) {
    const bytes = randomBytes(size)
    const { root, blocks } = await sealAll(bytes)
    assert.equal(root?.size, size)
    assert.ok((await readSpan(root as FileRoot, blocks, 0, size)).equals(bytes))
  }
  assert.equal((await sealAll(new Uint8Array(0))).root, null)
})

test('any range of a file is the slice of the original, over several levels of nodes', async () => {
  const bytes = randomBytes(40_000)
  // 2,500 chunks of 16 bytes: two levels of nodes.
  const { root, blocks } = await sealAll(bytes, { chunkBytes: 16 })
  assert.equal(root?.leaves, 2500)
  await fc.assert(
    fc.asyncProperty(fc.nat(40_000), fc.nat(40_000), async (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)]
      assert.ok((await readSpan(root as FileRoot, blocks, from, to)).equals(bytes.subarray(from, to)))
    }),
    { numRuns: 60 }
  )
})

test('the same content has the same root, and another epoch another one', async () => {
  const bytes = randomBytes(2 * MIB)
  const roots = await Promise.all([sealAll(bytes), sealAll(bytes)])
  assert.equal(String(roots[0]?.root?.cid), String(roots[1]?.root?.cid))
})

test('every flipped bit of a sealed block is detected', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), fc.integer({ min: 0, max: 7 }), (text, at, bit) => {
      const { bytes, key } = seal(subkey, text, { label: 'chunk' })
      const flipped = Buffer.from(bytes)
      flipped[at % flipped.byteLength]! ^= 1 << bit
      assert.throws(() => open(key, flipped, { label: 'chunk' }), SealError)
      assert.deepEqual(Buffer.from(open(key, bytes, { label: 'chunk' })), Buffer.from(text))
    })
  )
  const { bytes, key } = seal(subkey, randomBytes(100), { label: 'chunk' })
  for (let at = 0; at < bytes.byteLength; at++) {
    const flipped = Buffer.from(bytes)
    flipped[at]! ^= 1
    assert.throws(() => open(key, flipped, { label: 'chunk' }), SealError, `byte ${at}`)
  }
  assert.throws(() => open(key, bytes, { label: 'node' }), SealError)
  assert.throws(() => open(randomBytes(32), bytes, { label: 'chunk' }), SealError)
  assert.throws(() => open(key, bytes.subarray(0, 40), { label: 'chunk' }), SealError)
})

test('a manifest node that is altered, or not of the shape promised, is refused', async () => {
  const { root, blocks } = await sealAll(randomBytes(4000), { chunkBytes: 100 })
  const bytes = blocks.get(blockKey((root as FileRoot).cid)) as Uint8Array
  for (let at = 0; at < bytes.byteLength; at += 3) {
    const flipped = Buffer.from(bytes)
    flipped[at]! ^= 0x10
    assert.throws(
      () => openNode(decodeNode(flipped), (root as FileRoot).key),
      error =>
        error instanceof FormatError || error instanceof SealError || (error as Error).name === 'ForeignCidError',
      `byte ${at}`
    )
  }
  assert.throws(() => decodeNode(bytes, { leaves: 41, height: 1 }), FormatError)
  assert.throws(() => decodeNode(bytes, { leaves: 40, height: 2 }), FormatError)
  assert.throws(() => decodeNode(Buffer.concat([bytes, Buffer.from([0])])), FormatError)
})

test('another codec for manifest nodes: dag-json through the parameter', async () => {
  const codec = dagJson as unknown as NodeCodec
  const bytes = randomBytes(30_000)
  const { root, blocks } = await sealAll(bytes, { chunkBytes: 16, codec })
  assert.equal(root?.cid.code, dagJson.code)
  assert.ok((await readSpan(root as FileRoot, blocks, 100, 29_000, codec)).equals(bytes.subarray(100, 29_000)))
})

test('a stream of any length passes through bounded memory', { timeout: 900_000 }, async () => {
  const total = (process.env['DFS_LONG'] === '1' ? 5 * 1024 : 128) * MIB
  const sealed = () => pipe(generated(total), fixedChunker(), sealFile({ subkey }))
  // The keys come last: a first pass keeps the nodes, a second, which gives the same blocks, opens the chunks.
  const nodes = new Map<string, Uint8Array>()
  let root: FileRoot | null = null
  let peak = 0
  for await (const block of sealed()) {
    if (block.leaf === null) nodes.set(blockKey(block.cid), block.bytes)
    if (block.root !== undefined) root = block.root
    peak = Math.max(peak, process.memoryUsage.rss())
  }
  const chunks = sealed()
  const opened = createHash('sha256')
  const readNode = async (cid: BlockCid): Promise<Uint8Array> => nodes.get(blockKey(cid)) as Uint8Array
  for await (const ref of refs(root as unknown as FileRoot, { from: 0, to: total }, readNode, defaultNodeCodec)) {
    let next = await chunks.next()
    while (next.done !== true && next.value.leaf === null) next = await chunks.next()
    assert.ok(next.done !== true && next.value.cid.equals(ref.cid))
    opened.update(openChunkOf(ref, next.value.bytes))
    peak = Math.max(peak, process.memoryUsage.rss())
  }
  const original = createHash('sha256')
  for await (const piece of generated(total)) original.update(piece)
  assert.equal(opened.digest('hex'), original.digest('hex'))
  assert.ok(peak < 512 * MIB, `${peak} bytes resident`)
})

async function* generated(total: number): AsyncGenerator<Uint8Array> {
  const piece = Buffer.alloc(MIB, 'generated bytes')
  for (let sent = 0; sent < total; sent += MIB) {
    piece.writeDoubleBE(sent, 0)
    yield piece
  }
}
