import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dagCbor from '@ipld/dag-cbor'
import * as dagJson from '@ipld/dag-json'
import { type BlockCid, CID, DAG_CBOR, isNode, nameBlock, verifyBlock } from '../../../src/format/cid.ts'
import { FANOUT, NODE_BYTES_MAX } from '../../../src/format/constants.ts'
import { FormatError, SealError } from '../../../src/format/errors.ts'
import {
  childShape,
  decodeNode,
  defaultNodeCodec,
  type FileRoot,
  heightOf,
  type Link,
  ManifestBuilder,
  type ManifestOptions,
  type NodeCodec,
  openNode
} from '../../../src/format/manifest.ts'
import { seal } from '../../../src/format/seal.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { cbor } from '../../fixtures/format-by-spec.ts'
import { contentSubkey as subkey } from '../../fixtures/keys.ts'

const json = dagJson as unknown as NodeCodec

/** A chunk that was never sealed: only its name and key go into a manifest. */
function chunkLink(n: number): Link {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(n)
  return { cid: nameBlock(bytes), key: Buffer.alloc(32, n & 0xff), size: 1000 + (n % 7) }
}

interface Built {
  root: FileRoot
  nodes: Array<{ cid: BlockCid; bytes: Uint8Array }>
  read(cid: BlockCid): Uint8Array
}

function build(chunks: number, options: Partial<ManifestOptions> = {}): Built {
  const builder = new ManifestBuilder({ subkey, ...options })
  const nodes = Array.from({ length: chunks }, (_, n) => builder.add(chunkLink(n))).flat()
  const { nodes: rest, root } = builder.finish()
  nodes.push(...rest)
  const byName = new Map(nodes.map(({ cid, bytes }) => [cid.toString(), bytes]))
  return { root: root as FileRoot, nodes, read: cid => byName.get(cid.toString()) as Uint8Array }
}

function leavesOf({ root, read }: Built, codec?: NodeCodec): Link[] {
  const walk = (link: Link, shape?: { leaves: number; height: number }): Link[] => {
    if (!isNode(link.cid)) return [link]
    const node = decodeNode(read(link.cid), shape, codec)
    const links = openNode(node, link.key)
    return links.flatMap((child, i) => walk(child, node.height === 1 ? undefined : childShape(node, i)))
  }
  return walk(root)
}

function assertLists(links: Link[], chunks: number): void {
  assert.equal(links.length, chunks)
  for (const [n, link] of links.entries()) {
    const expected = chunkLink(n)
    assert.ok(link.cid.equals(expected.cid) && link.size === expected.size)
    assert.equal(toHex(link.key), toHex(expected.key))
  }
}

test('the height follows from the number of chunks', () => {
  const known: Array<[number, number]> = [
    [2, 1],
    [1024, 1],
    [1025, 2],
    [1024 ** 2, 2],
    [1024 ** 2 + 1, 3],
    [1024 ** 4, 4]
  ]
  for (const [leaves, height] of known) assert.equal(heightOf(leaves), height)
})

test('every chunk is listed once, in order, whatever their number', () => {
  for (const chunks of [2, 3, 1023, 1024, 1025, 2047, 2048, 2049, 3000]) {
    const built = build(chunks)
    assertLists(leavesOf(built), chunks)
    assert.equal(built.root.leaves, chunks)
    assert.equal(
      built.root.size,
      Array.from({ length: chunks }, (_, n) => 1000 + (n % 7)).reduce((a, b) => a + b)
    )
    assert.ok(built.nodes.every(({ cid, bytes }) => verifyBlock(cid, bytes) && cid.code === DAG_CBOR))
    assert.equal(built.nodes.at(-1)?.cid, built.root.cid)
  }
})

test('a manifest may be three levels deep and end in a path of nodes with one link each', () => {
  const chunks = 1024 ** 2 + 1
  const builder = new ManifestBuilder({ subkey })
  const link = chunkLink(0)
  const kept = new Map<string, Uint8Array>()
  let nodes = 0
  const keep = (blocks: Array<{ cid: BlockCid; bytes: Uint8Array }>): void => {
    nodes += blocks.length
    for (const { cid, bytes } of blocks) kept.set(cid.toString(), bytes)
  }
  for (let n = 0; n < chunks; n++) keep(builder.add(link))
  const { nodes: rest, root } = builder.finish()
  keep(rest)
  assert.equal(nodes, 1024 + 1 + 1 + 1 + 1)
  const top = decodeNode(kept.get(root?.cid.toString() as string) as Uint8Array)
  assert.equal(top.height, 3)
  assert.equal(top.leaves, chunks)
  let [, last] = openNode(top, root?.key as Uint8Array) as [Link, Link]
  let shape = childShape(top, 1)
  for (const height of [2, 1]) {
    assert.deepEqual(shape, { leaves: 1, height })
    const node = decodeNode(kept.get(last.cid.toString()) as Uint8Array, shape)
    assert.equal(node.links.length, 1)
    ;[last] = openNode(node, last.key) as [Link]
    shape = childShape(node, 0)
  }
  assert.ok(last.cid.equals(link.cid))
})

test('a file of one chunk has no manifest, and a file without chunks has no root', () => {
  const { root, nodes } = build(1)
  assert.equal(nodes.length, 0)
  assert.ok(root.cid.equals(chunkLink(0).cid))
  assert.deepEqual(new ManifestBuilder({ subkey }).finish(), { nodes: [], root: null })
})

test('a node is returned as soon as it is full', () => {
  const builder = new ManifestBuilder({ subkey })
  for (let n = 0; n < FANOUT - 1; n++) assert.equal(builder.add(chunkLink(n)).length, 0)
  assert.equal(builder.add(chunkLink(FANOUT - 1)).length, 1)
  assert.equal(builder.add(chunkLink(FANOUT)).length, 0)
})

test('the same chunks have the same root, and another root with a salt', () => {
  assert.ok(build(1030).root.cid.equals(build(1030).root.cid))
  assert.ok(!build(1030).root.cid.equals(build(1030, { salt: Buffer.alloc(32, 1) }).root.cid))
  assertLists(leavesOf(build(1030, { salt: Buffer.alloc(32, 1) })), 1030)
})

test('dag-json through the codec parameter: the same tree, and a full node within its bound', () => {
  const built = build(1030, { codec: json })
  assertLists(leavesOf(built, json), 1030)
  assert.ok(built.nodes.every(({ cid }) => cid.code === dagJson.code))
  const full = Math.max(...built.nodes.map(({ bytes }) => bytes.byteLength))
  assert.ok(full > 120_000 && full <= NODE_BYTES_MAX, `${full} bytes`)
  assert.throws(() => decodeNode(built.nodes[0]?.bytes as Uint8Array), FormatError)
  const cbor = build(1030)
  assert.throws(() => decodeNode(cbor.nodes[0]?.bytes as Uint8Array, undefined, json), FormatError)
})

test('a node of another shape than its parent states is refused', () => {
  const { nodes } = build(3000)
  const full = nodes[0]?.bytes as Uint8Array
  decodeNode(full, { leaves: 1024, height: 1 })
  for (const shape of [
    { leaves: 1023, height: 1 },
    { leaves: 1025, height: 1 },
    { leaves: 1024, height: 2 },
    { leaves: 1024 ** 2, height: 2 }
  ])
    assert.throws(() => decodeNode(full, shape), FormatError, JSON.stringify(shape))
  const root = nodes.at(-1)?.bytes as Uint8Array
  decodeNode(root)
  assert.throws(() => decodeNode(root, { leaves: 3000, height: 1 }), FormatError)
  assert.throws(() => decodeNode(root, { leaves: 3000, height: 3 }), FormatError)
})

type NodeMap = { v: number; leaves: number; links: CID[]; sealed: Uint8Array }

test('nodes that the builder never makes are refused', () => {
  const good = dagCbor.decode(build(5).nodes[0]?.bytes as Uint8Array) as NodeMap
  const node = nameBlock(Buffer.from('node'), DAG_CBOR)
  const chunk = chunkLink(0).cid
  const many = (count: number, cid: CID): CID[] => Array.from({ length: count }, () => cid)
  const bad: Record<string, unknown> = {
    'a field too many': { ...good, extra: 1 },
    'another version': { ...good, v: 2 },
    'no seal': { v: 1, leaves: 5, links: good.links },
    'a seal of text': { ...good, sealed: 'x' },
    'a seal that is too long': { ...good, sealed: Buffer.alloc(5 * 40 + 49) },
    'a seal that is too short': { ...good, sealed: Buffer.alloc(5 * 40 + 47) },
    'no bytes in the seal': { ...good, sealed: new Uint8Array(0) },
    'no links': { ...good, leaves: 2, links: [] },
    'no leaves': { ...good, leaves: 0 },
    'a root of one chunk': { ...good, leaves: 1, links: [chunk] },
    'fewer leaves than links': { ...good, leaves: 4 },
    'more leaves than links': { ...good, leaves: 6 },
    'half a leaf': { ...good, leaves: 4.5 },
    'leaves below zero': { ...good, leaves: -5 },
    'leaves beyond the depth': { ...good, leaves: 1024 ** 4 + 1, links: many(1024, node) },
    'a billion chunks in one node': { ...good, leaves: 1024 ** 3, links: many(1024, chunk) },
    'more links than the fan-out': { ...good, leaves: 1025, links: many(1025, chunk) },
    'a node where chunks belong': { ...good, links: many(5, node) },
    'a chunk where nodes belong': { ...good, leaves: 1025, links: many(2, chunk) },
    'a link by a cut hash': {
      ...good,
      links: many(
        5,
        CID.createV1(0x55, {
          code: 0x1e,
          size: 4,
          digest: new Uint8Array(4),
          bytes: Uint8Array.of(0x1e, 4, 0, 0, 0, 0)
        })
      )
    },
    'a link in another codec': { ...good, links: many(5, nameBlock(Buffer.from('{}'), dagJson.code)) },
    'links that are text': { ...good, links: good.links.map(String) },
    'a list': [good],
    nothing: null
  }
  decodeNode(dagCbor.encode(good))
  for (const [what, value] of Object.entries(bad))
    assert.throws(() => decodeNode(dagCbor.encode(value)), FormatError, what)
})

test('a map that looks like a CID is not accepted as a link', () => {
  const multihash = { code: 0x1e, digest: Buffer.alloc(32) }
  for (const same of ['x', 1, true]) {
    const fake = { '/': same, bytes: same, version: 1, code: 0x55, multihash }
    const node = { v: 1, leaves: 2, links: [fake, fake], sealed: Buffer.alloc(128) }
    assert.throws(() => decodeNode(cbor(node)), FormatError)
    assert.throws(() => decodeNode(cbor({ ...node, sealed: fake })), FormatError)
    assert.throws(() => decodeNode(cbor(fake)), FormatError)
  }
})

test('a node has one encoding, even in a codec that writes links as text', () => {
  const text = Buffer.from(build(5, { codec: json }).nodes[0]?.bytes as Uint8Array).toString()
  decodeNode(Buffer.from(text), undefined, json)
  const padded = text.replace(/"(b[a-z2-7]{58})"/, '"$1="')
  assert.notEqual(padded, text)
  assert.throws(() => decodeNode(Buffer.from(padded), undefined, json), FormatError)
})

test('bytes that are not the one encoding of a node are refused', () => {
  const bytes = build(5).nodes[0]?.bytes as Uint8Array
  assert.throws(() => decodeNode(Buffer.concat([bytes, Uint8Array.of(0)])), FormatError)
  for (let length = 0; length < bytes.byteLength; length++)
    assert.throws(() => decodeNode(bytes.subarray(0, length)), FormatError)
  assert.throws(() => decodeNode(Buffer.alloc(NODE_BYTES_MAX + 1)), /more than 131072 bytes/)
  const spaced = Buffer.from(
    JSON.stringify(JSON.parse(Buffer.from(build(5, { codec: json }).nodes[0]?.bytes as Uint8Array).toString()), null, 1)
  )
  assert.throws(() => decodeNode(spaced, undefined, json), FormatError)
})

test('a node opens under its key only with its own links', () => {
  const { root, read } = build(5)
  const node = decodeNode(read(root.cid))
  openNode(node, root.key)
  assert.throws(() => openNode(node, Buffer.alloc(32)), SealError)
  const { leaves, links, sealed } = node
  const altered = (change: object): Uint8Array => dagCbor.encode({ v: 1, leaves, links, sealed, ...change })
  const reversed = altered({ links: [...links].reverse() })
  for (const codec of [defaultNodeCodec, { ...dagCbor } as NodeCodec]) {
    assert.throws(() => openNode(decodeNode(reversed, undefined, codec), root.key), SealError)
    assert.throws(() => openNode({ ...node, clear: dagCbor.encode({ v: 1, leaves: 6, links }) }, root.key), SealError)
  }
})

test('sealed rows without one key and one possible size per link are refused', () => {
  const links = [0, 1, 2].map(n => chunkLink(n).cid)
  const clear = { v: 1, leaves: 3, links }
  const sealedRows = (rows: Buffer): { node: Uint8Array; key: Uint8Array } => {
    const { bytes, key } = seal(subkey, rows, { label: 'node', clear: defaultNodeCodec.encode(clear) as Uint8Array })
    return { node: dagCbor.encode({ ...clear, sealed: bytes }), key }
  }
  const rowsOf = (...sizes: bigint[]): Buffer => {
    const rows = Buffer.alloc(sizes.length * 40)
    for (const [i, size] of sizes.entries()) rows.writeBigUInt64BE(size, i * 40 + 32)
    return rows
  }
  const openRows = (rows: Buffer): Link[] => {
    const { node, key } = sealedRows(rows)
    return openNode(decodeNode(node), key)
  }
  assert.equal(openRows(rowsOf(1n, 2n, 4n << 20n)).length, 3)
  for (const rows of [
    rowsOf(1n, 2n),
    rowsOf(1n, 2n, 3n, 4n),
    rowsOf(1n, 2n, 3n).subarray(1),
    rowsOf(1n, 0n, 3n),
    rowsOf(1n, 2n, (4n << 20n) + 1n),
    rowsOf(1n, 2n, (1n << 64n) - 1n)
  ])
    assert.throws(() => openRows(rows), FormatError)
})
