import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import * as dagJson from '@ipld/dag-json'
import fc from 'fast-check'
import type { NodeCodec } from '../../src/format/manifest.ts'
import { readSpan, sealInMemory } from '../fixtures/sealed-files.ts'

const KIB = 1024
const MIB = 1024 * KIB

test('a file is unchanged after sealing and opening, at every size that matters', async () => {
  for (const size of [0, 1, KIB - 1, KIB, KIB + 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 17]) {
    const bytes = randomBytes(size)
    const file = await sealInMemory(bytes)
    assert.equal(file.root?.size ?? 0, size)
    assert.equal(file.root === null, size === 0)
    assert.ok((await readSpan(file, 0, size)).equals(bytes))
  }
})

test('any file is unchanged after sealing and opening, whatever its chunks', async () => {
  const sizes = fc.uint8Array({ maxLength: 3000 })
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: 1, max: 300 }), fc.boolean(), async (bytes, chunkBytes, isSalted) => {
      const file = await sealInMemory(bytes, { chunkBytes, salt: isSalted ? randomBytes(32) : new Uint8Array(0) })
      assert.ok((await readSpan(file, 0, bytes.byteLength)).equals(bytes))
    }),
    { numRuns: 100 }
  )
})

test('any range of a file is the slice of the original, across several levels of nodes', async () => {
  const bytes = randomBytes(40_000)
  // 2,500 chunks of 16 bytes: two levels of nodes.
  const file = await sealInMemory(bytes, { chunkBytes: 16 })
  assert.equal(file.root?.leaves, 2500)
  const edges = [0, 1, 15, 16, 17, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 39_999, 40_000]
  for (const from of edges)
    for (const to of edges.filter(to => to >= from))
      assert.ok((await readSpan(file, from, to)).equals(bytes.subarray(from, to)), `${from} to ${to}`)
  await fc.assert(
    fc.asyncProperty(fc.nat(40_000), fc.nat(40_000), async (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)]
      assert.ok((await readSpan(file, from, to)).equals(bytes.subarray(from, to)))
    }),
    { numRuns: 60 }
  )
})

test('the same content has the same root, and a changed byte or a salt changes the root', async () => {
  const bytes = randomBytes(2 * MIB)
  const changed = Buffer.from(bytes)
  changed[MIB + 5]! ^= 1
  const [one, same, other, salted] = await Promise.all([
    sealInMemory(bytes),
    sealInMemory(bytes),
    sealInMemory(changed),
    sealInMemory(bytes, { salt: randomBytes(32) })
  ])
  assert.deepEqual([...same.blocks.keys()], [...one.blocks.keys()])
  assert.ok(same.root?.cid.equals(one.root?.cid))
  // The first chunks are the same block. The second chunks differ, and so do the roots.
  assert.equal([...other.blocks.keys()].filter(key => one.blocks.has(key)).length, 1)
  assert.ok(![...salted.blocks.keys()].some(key => one.blocks.has(key)))
})

test('equal chunks are one block', async () => {
  const { blocks } = await sealInMemory(Buffer.alloc(16 * 100, 7), { chunkBytes: 16 })
  assert.equal(blocks.size, 2)
})

test('no block contains any of the text', async () => {
  const text = Buffer.from('MARKER of the user '.repeat(500))
  const { blocks } = await sealInMemory(text, { chunkBytes: 1000 })
  for (const bytes of blocks.values()) assert.ok(!Buffer.from(bytes).includes('MARKER'))
})

test('the codec of manifest nodes may be dag-json', async () => {
  const codec = dagJson as unknown as NodeCodec
  const bytes = randomBytes(30_000)
  const file = await sealInMemory(bytes, { chunkBytes: 16, codec })
  assert.equal(file.root?.cid.code, dagJson.code)
  assert.ok((await readSpan(file, 100, 29_000, codec)).equals(bytes.subarray(100, 29_000)))
})
