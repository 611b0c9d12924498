import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import * as dagJson from '@ipld/dag-json'
import fc from 'fast-check'
import { blockKey, nameBlock, verifyBlock } from '../../src/format/cid.ts'
import { openBody, signRecord } from '../../src/format/entry.ts'
import { FormatError, SealError } from '../../src/format/errors.ts'
import { decodeNode, defaultNodeCodec, type FileRoot, type NodeCodec, openNode } from '../../src/format/manifest.ts'
import { open, seal } from '../../src/format/seal.ts'
import { openChunkOf } from '../../src/format/seal-file.ts'
import { type AnyStatement, decodeStatement, type Statement, verifyStatement } from '../../src/format/statement.ts'
import { author, network, recordSubkey, contentSubkey as subkey } from '../fixtures/keys.ts'
import { sealInMemory } from '../fixtures/sealed-files.ts'
import { INLINE_RECORD, SIGNING, sampleStatements } from '../fixtures/statements.ts'

/** Every flipped byte is noticed, first by the name of the block and again by what is inside it. */

const flipped = (bytes: Uint8Array, at: number, mask: number): Uint8Array => {
  const altered = Buffer.from(bytes)
  altered[at]! ^= mask
  return altered
}

const isRefusal = (error: unknown): boolean => error instanceof FormatError || error instanceof SealError

test('every flipped bit of a small chunk is noticed by its name and by its seal', async () => {
  const { root, blocks } = await sealInMemory(randomBytes(100))
  const { cid, key, size } = root as FileRoot
  const bytes = blocks.get(blockKey(cid)) as Uint8Array
  openChunkOf({ key, size }, bytes)
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const altered = flipped(bytes, bit >> 3, 1 << (bit & 7))
    assert.ok(!verifyBlock(cid, altered))
    assert.throws(() => openChunkOf({ key, size }, altered), SealError, `bit ${bit}`)
  }
})

test('flipped bytes at the ends and all over a chunk of a megabyte are noticed', async () => {
  const { root, blocks } = await sealInMemory(randomBytes(1 << 20))
  const { cid, key, size } = root as FileRoot
  const bytes = Buffer.from(blocks.get(blockKey(cid)) as Uint8Array)
  const last = bytes.byteLength - 1
  const places = [0, 31, 32, 33, last - 21, last - 16, last - 15, last]
  for (let i = 0; i < 60; i++) places.push((i * 17_477 + 40) % bytes.byteLength)
  for (const at of places) {
    bytes[at]! ^= 0x40
    assert.ok(!verifyBlock(cid, bytes))
    assert.throws(() => openChunkOf({ key, size }, bytes), SealError, `byte ${at}`)
    bytes[at]! ^= 0x40
  }
  openChunkOf({ key, size }, bytes)
})

test('any flipped bit, cut or additional byte of a sealed text is noticed, under any label', () => {
  const labels = fc.constantFrom('chunk', 'node', 'body')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), labels, fc.nat(), fc.nat(7), (text, label, at, bit) => {
      const options = { label, clear: Buffer.from('clear') }
      const { bytes, key } = seal(subkey, text, options)
      assert.deepEqual(Buffer.from(open(key, bytes, options)), Buffer.from(text))
      assert.throws(() => open(key, flipped(bytes, at % bytes.byteLength, 1 << bit), options), SealError)
      assert.throws(() => open(key, bytes.subarray(0, at % bytes.byteLength), options), SealError)
      assert.throws(() => open(key, Buffer.concat([bytes, Uint8Array.of(at & 0xff)]), options), SealError)
    })
  )
})

for (const [name, codec] of [
  ['dag-cbor', defaultNodeCodec],
  ['dag-json', dagJson as unknown as NodeCodec]
] as const) {
  test(`every flipped byte of a manifest node in ${name} is noticed by its name and by its seal`, async () => {
    const { root, blocks } = await sealInMemory(randomBytes(2000), { chunkBytes: 100, codec })
    const { cid, key } = root as FileRoot
    const bytes = blocks.get(blockKey(cid)) as Uint8Array
    openNode(decodeNode(bytes, undefined, codec), key)
    for (let at = 0; at < bytes.byteLength; at++) {
      for (const mask of [1, 0x10, 0x80]) {
        const altered = flipped(bytes, at, mask)
        assert.ok(!verifyBlock(cid, altered))
        assert.throws(() => openNode(decodeNode(altered, undefined, codec), key), isRefusal, `byte ${at}`)
      }
    }
  })
}

test('every flipped byte of a record breaks its form or its signature, and in the body its seal too', async () => {
  const statement = signRecord(INLINE_RECORD, SIGNING)
  openBody(recordSubkey, statement)
  let opened = 0
  for (let at = 0; at < statement.bytes.byteLength; at++) {
    const altered = decodeOrRefuse(flipped(statement.bytes, at, 0x20))
    if (altered === undefined) continue
    assert.ok(!(await verifyStatement(altered, network.network, author)), `byte ${at}`)
    if (toHexOf(altered.sig) !== toHexOf(statement.sig)) continue
    opened++
    assert.throws(() => openBody(recordSubkey, altered as Statement<'entry'>), isRefusal, `byte ${at}`)
  }
  assert.ok(opened > 400)
})

for (const statement of sampleStatements()) {
  test(`every flipped bit of a statement of kind ${statement.kind} breaks its form or its signature`, async () => {
    const signer = statement.grant === null ? network.network : author
    for (let bit = 0; bit < statement.bytes.byteLength * 8; bit += 3) {
      const altered = decodeOrRefuse(flipped(statement.bytes, bit >> 3, 1 << (bit & 7)))
      if (altered === undefined) continue
      assert.notEqual(toHexOf(altered.id), toHexOf(statement.id))
      assert.ok(!(await verifyStatement(altered, network.network, signer)), `bit ${bit}`)
    }
  })
}

test('any flipped bit of the name of a block names another block, or none', () => {
  const bytes = randomBytes(50)
  const name = nameBlock(bytes)
  for (let bit = 0; bit < name.multihash.digest.byteLength * 8; bit++) {
    const digest = flipped(name.multihash.digest, bit >> 3, 1 << (bit & 7))
    assert.ok(!verifyBlock({ ...name, multihash: { ...name.multihash, digest } } as typeof name, bytes))
  }
})

function decodeOrRefuse(bytes: Uint8Array): AnyStatement | undefined {
  try {
    return decodeStatement(bytes)
  } catch (error) {
    assert.ok(error instanceof FormatError, String(error))
    return undefined
  }
}

function toHexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
