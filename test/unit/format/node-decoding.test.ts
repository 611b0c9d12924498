import assert from 'node:assert/strict'
import { createSecretKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import * as dagCbor from '@ipld/dag-cbor'
import { decodePlain } from '../../../src/format/cbor.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import { FormatError } from '../../../src/format/errors.ts'
import {
  decodeNode,
  type Link,
  ManifestBuilder,
  type ManifestNode,
  type NodeCodec
} from '../../../src/format/manifest.ts'

/** Another object than the default codec, so that nodes are decoded by the library. */
const LIBRARY = { ...dagCbor } as NodeCodec

/** Returns the root of a file of this many chunks. */
function rootOf(chunks: number): Uint8Array {
  const builder = new ManifestBuilder({ subkey: createSecretKey(randomBytes(32)) })
  const link = (n: number): Link => ({ cid: nameBlock(Buffer.from(`${n}`)), key: randomBytes(32), size: 1000 })
  const nodes = Array.from({ length: chunks }, (_, n) => builder.add(link(n))).flat()
  nodes.push(...builder.finish().nodes)
  return nodes.at(-1)?.bytes as Uint8Array
}

function outcome(bytes: Uint8Array, codec?: NodeCodec): ManifestNode | 'refused' {
  try {
    const node = decodeNode(bytes, undefined, codec)
    return { ...node, sealed: Buffer.from(node.sealed), clear: Buffer.from(node.clear) }
  } catch (error) {
    assert.ok(error instanceof FormatError)
    return 'refused'
  }
}

test('a node of any length is read as the library reads it, without the library', () => {
  for (const chunks of [2, 23, 24, 255, 256, 1024, 1025]) {
    const bytes = rootOf(chunks)
    assert.notEqual(decodePlain(bytes), undefined)
    const read = outcome(bytes)
    assert.deepEqual(read, outcome(bytes, LIBRARY))
    const { leaves, links, clear } = read as ManifestNode
    assert.equal(leaves, chunks)
    assert.deepEqual(clear, Buffer.from(dagCbor.encode({ v: 1, leaves, links })))
  }
})

test('bytes that are not quite a node are refused exactly when the library refuses them', () => {
  const bytes = rootOf(3)
  const altered = [bytes.subarray(0, 0), Buffer.concat([bytes, bytes]), Buffer.concat([bytes, Buffer.from([0])])]
  for (let at = 0; at < bytes.byteLength; at++) {
    altered.push(bytes.subarray(0, at))
    for (const mask of [0x01, 0x02, 0x10, 0x20, 0x80]) {
      const copy = Uint8Array.from(bytes)
      copy[at] = (copy[at] as number) ^ mask
      altered.push(copy)
    }
  }
  let accepted = 0
  for (const some of altered) {
    const result = outcome(some)
    assert.deepEqual(result, outcome(some, LIBRARY), Buffer.from(some).toString('hex'))
    if (result !== 'refused') accepted++
  }
  // A flipped bit of a digest or of the sealed part leaves a node.
  assert.ok(accepted > 100)
})

test('a number in a longer form than it needs is refused', () => {
  const bytes = Buffer.from(rootOf(3))
  const key = Buffer.concat([Buffer.from([0x66]), Buffer.from('leaves')])
  const at = bytes.indexOf(key) + key.byteLength
  for (const long of [
    [0x18, 3],
    [0x19, 0, 3],
    [0x1a, 0, 0, 0, 3],
    [0x1b, 0, 0, 0, 0, 0, 0, 0, 3]
  ]) {
    const longer = Buffer.concat([bytes.subarray(0, at), Buffer.from(long), bytes.subarray(at + 1)])
    assert.equal(decodePlain(longer), undefined)
    assert.equal(outcome(longer), 'refused')
  }
})
