import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { decodeCanonical, encodeCanonical } from '../../../src/format/canonical.ts'
import { formatCapability, parseCapability } from '../../../src/format/capability.ts'
import { fixedChunker } from '../../../src/format/chunker.ts'
import { CID, decodeCid, nameBlock, parseCid, verifyBlock } from '../../../src/format/cid.ts'
import { covers, type EntryBody, openBody, readRecord } from '../../../src/format/entry.ts'
import { FormatError, PathError, SealError } from '../../../src/format/errors.ts'
import { HASHES } from '../../../src/format/hash.ts'
import { type Fields, KINDS, type Kind } from '../../../src/format/kinds.ts'
import {
  childShape,
  decodeNode,
  type FileRoot,
  heightOf,
  type NodeShape,
  openNode
} from '../../../src/format/manifest.ts'
import { deriveNetwork, epochSubkeys, networkKeyWords, parseNetworkKey } from '../../../src/format/network-key.ts'
import { paddedBodyLength, paddedChunkLength, padInPlace, padme, unpad } from '../../../src/format/padding.ts'
import { formatPath, nameFault, parsePath } from '../../../src/format/path.ts'
import { peerIdOf, publicKeyOf } from '../../../src/format/peer-id.ts'
import { open, openBySiv, type SealLabel, seal, secretKey, sivOf } from '../../../src/format/seal.ts'
import { inlineRoot, openChunk, sealFile } from '../../../src/format/seal-file.ts'
import { compareStamps, decodeHlc, encodeHlc, hlcAt, hlcMs } from '../../../src/format/stamp.ts'
import { decodeStatement, type Statement, signStatement, verifyStatement } from '../../../src/format/statement.ts'
import {
  blake3,
  bytes,
  cbor,
  ed25519,
  fileBySpec,
  fromBase32,
  hex,
  hkdf,
  padBody,
  padChunk,
  padmeBySpec,
  peerIdBySpec,
  privateKey,
  publicHalf,
  type SecondLink,
  SUITE,
  sealBySpec,
  secondOf,
  statementBySpec,
  toBase32,
  toSecond,
  toValue
} from '../../fixtures/format-by-spec.ts'

/**
 * The formats against `test/vectors/`, twice: by the code, and by a second implementation that was written from SPEC.md.
 * In the files, bytes are hex. Inside values they are `0x…`, and a link is `cid:…`.
 */

function read<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, `../../vectors/${name}.json`), 'utf8')) as T
}

interface Keys {
  networks: Array<Record<'key' | 'words' | 'network' | 'epochKey' | 'recovery' | 'content' | 'record', string>>
  devices: Array<Record<'seed' | 'key' | 'peerId', string>>
  refusedPeerIds: string[]
}

test('keys.json: what is derived from a network key, and the names of devices', () => {
  const { networks, devices, refusedPeerIds } = read<Keys>('keys')
  for (const { key, words, network, epochKey, recovery, content, record } of networks) {
    const derived = deriveNetwork(bytes(key))
    assert.deepEqual([derived.network, derived.epochKey, derived.recovery].map(hex), [network, epochKey, recovery])
    const subkeys = epochSubkeys(bytes(epochKey))
    assert.deepEqual([subkeys.content, subkeys.record].map(hex), [content, record])
    assert.equal(networkKeyWords(bytes(key)), words)
    assert.deepEqual([parseNetworkKey(words), parseNetworkKey(key)].map(hex), [key, key])

    const root = ed25519(hkdf(bytes(key), 'root'))
    assert.equal(hex(publicHalf(root)), network)
    assert.equal(hex(hkdf(bytes(key), 'epoch 1')), epochKey)
    assert.equal(hex(publicHalf(privateKey('6e', hkdf(bytes(key), 'recovery')))), recovery)
    assert.equal(hex(hkdf(bytes(epochKey), 'content')), content)
    assert.equal(hex(hkdf(bytes(epochKey), 'record')), record)
  }
  for (const { seed, key, peerId } of devices) {
    assert.equal(hex(publicHalf(ed25519(bytes(seed)))), key)
    assert.equal(peerIdOf(bytes(key)), peerId)
    assert.equal(hex(publicKeyOf(peerId)), key)
    assert.equal(peerIdBySpec(bytes(key)), peerId)
  }
  for (const text of refusedPeerIds) assert.throws(() => publicKeyOf(text), FormatError, text)
})

interface Cids {
  blocks: Array<{
    bytes: string
    sha256: string
    blake3: string
    cids: Array<{ codec: number; hash: 'sha2-256' | 'blake3'; cid: string; text: string }>
  }>
  refused: Record<string, string>
}

test('cids.json: names of blocks, and invalid names', () => {
  const { blocks, refused } = read<Cids>('cids')
  for (const block of blocks) {
    const data = bytes(block.bytes)
    assert.equal(createHash('sha256').update(data).digest('hex'), block.sha256)
    assert.equal(hex(blake3(data)), block.blake3)
    for (const { codec, hash, cid, text } of block.cids) {
      const [code, digest] = hash === 'blake3' ? [0x1e, block.blake3] : [0x12, block.sha256]
      assert.equal(hex(Buffer.concat([Buffer.of(1, codec, code, 32), bytes(digest)])), cid)
      assert.equal(`b${toBase32(bytes(cid))}`, text)
      const named = nameBlock(
        data,
        codec,
        HASHES.find(({ name }) => name === hash)
      )
      assert.equal(hex(named.bytes), cid)
      assert.equal(named.toString(), text)
      assert.ok(decodeCid(bytes(cid)).equals(named) && parseCid(text).equals(named))
      assert.ok(verifyBlock(named, data) && !verifyBlock(named, Buffer.concat([data, Buffer.of(0)])))
    }
  }
  for (const [what, cid] of Object.entries(refused)) assert.throws(() => decodeCid(bytes(cid)), FormatError, what)
})

test('canonical.json: each value has one encoding', () => {
  const { accepted, refused } = read<{
    accepted: Array<{ value: unknown; bytes: string }>
    refused: Record<string, string>
  }>('canonical')
  for (const item of accepted) {
    assert.equal(hex(encodeCanonical(toValue(item.value))), item.bytes)
    assert.equal(hex(cbor(toSecond(item.value))), item.bytes)
    assert.equal(hex(cbor(secondOf(decodeCanonical(bytes(item.bytes))))), item.bytes)
  }
  for (const [what, data] of Object.entries(refused))
    assert.throws(() => decodeCanonical(bytes(data)), FormatError, what)
})

interface Padding {
  padme: Array<[number, number]>
  bodies: Array<[number, number]>
  chunks: Array<{ text: string; padded: string }>
  refusedChunks: Record<string, string>
}

test('padding.json: lengths and bytes', () => {
  const vectors = read<Padding>('padding')
  for (const [length, padded] of vectors.padme) {
    assert.equal(padme(length), padded)
    assert.equal(padmeBySpec(length), padded)
    assert.equal(paddedChunkLength(length), padded + 4)
  }
  for (const [length, padded] of vectors.bodies) {
    assert.equal(paddedBodyLength(length), padded)
    assert.equal(padBody(Buffer.alloc(length)).byteLength, padded)
  }
  for (const { text, padded } of vectors.chunks) {
    const buffer = Buffer.alloc(paddedChunkLength(bytes(text).byteLength), 0xaa)
    buffer.set(bytes(text))
    assert.equal(hex(padInPlace(buffer, bytes(text).byteLength, buffer.byteLength)), padded)
    assert.equal(hex(padChunk(bytes(text))), padded)
    assert.equal(hex(unpad(bytes(padded), paddedChunkLength)), text)
  }
  for (const [what, padded] of Object.entries(vectors.refusedChunks))
    assert.throws(() => unpad(bytes(padded), paddedChunkLength), FormatError, what)
})

type SealVector = Record<'subkey' | 'clear' | 'salt' | 'padded' | 'siv' | 'key' | 'bytes', string> & {
  what: string
  label: SealLabel
}

test('seal.json: siv, key and sealed bytes, opened again, and refused with one changed bit', () => {
  const { suite, seals } = read<{ suite: string; seals: SealVector[] }>('seal')
  assert.equal(suite, SUITE.toString())
  for (const vector of seals) {
    const [subkey, clear, salt, padded] = (['subkey', 'clear', 'salt', 'padded'] as const).map(n =>
      bytes(vector[n])
    ) as [Buffer, Buffer, Buffer, Buffer]
    const options = { label: vector.label, clear, salt }
    const { siv, key, bytes: sealed } = seal(secretKey(subkey), padded, options)
    assert.deepEqual([siv, key, sealed].map(hex), [vector.siv, vector.key, vector.bytes], vector.what)
    assert.equal(hex(sivOf(secretKey(subkey), padded, options)), vector.siv)
    const second = sealBySpec(subkey, vector.label, clear, salt, padded)
    assert.deepEqual([second.siv, second.key, second.bytes].map(hex), [vector.siv, vector.key, vector.bytes])

    const unsalted = { label: vector.label, clear }
    assert.equal(hex(open(bytes(vector.key), bytes(vector.bytes), unsalted)), vector.padded)
    assert.equal(hex(openBySiv(secretKey(subkey), bytes(vector.siv), bytes(vector.bytes), options)), vector.padded)
    for (let at = 0; at < sealed.byteLength; at++) {
      const altered = bytes(vector.bytes)
      altered[at]! ^= 1
      assert.throws(() => open(bytes(vector.key), altered, unsalted), SealError, `${vector.what}, byte ${at}`)
    }
  }
})

interface SaidRoot {
  cid: string
  key: string
  size: number
  leaves: number
}

interface Manifest {
  subkey: string
  files: Array<{
    what: string
    chunkBytes: number
    salt: string
    text: string
    root: SaidRoot
    blocks: Array<{ leaf: number | null; cid: string; bytes: string }>
  }>
  large: { length: number; chunkBytes: number; root: SaidRoot; nodes: string[] }
  inline: Array<{ text: string; salt: string; root: string }>
  heights: Array<[number, number]>
  refused: Record<string, string>
}

async function fileByCode(subkey: Buffer, text: Uint8Array, chunkBytes: number, salt: Uint8Array) {
  const blocks: Array<{ leaf: number | null; cid: string; bytes: string }> = []
  let root: FileRoot | undefined
  const chunks = fixedChunker(chunkBytes)([text])
  for await (const block of sealFile({ subkey: secretKey(subkey), salt })(chunks)) {
    blocks.push({ leaf: block.chunkIndex, cid: block.cid.toString(), bytes: hex(block.bytes) })
    root = block.root
  }
  return { root: sayRoot(root as FileRoot), blocks }
}

const sayRoot = ({ cid, key, size, leaves }: FileRoot): SaidRoot => ({
  cid: cid.toString(),
  key: hex(key),
  size,
  leaves
})
const saySecond = ({ cid, key, ...rest }: SecondLink): SaidRoot => ({
  cid: `b${toBase32(cid)}`,
  key: hex(key),
  ...rest
})

/** Returns the text below a link. It opens each block of it from `blocks`. */
function textBelow(link: { cid: CID; key: Uint8Array }, blocks: Map<string, string>, shape?: NodeShape): Buffer {
  const data = bytes(blocks.get(link.cid.toString()) as string)
  assert.ok(verifyBlock(link.cid, data))
  if (link.cid.code === 0x55) return Buffer.from(openChunk(link.key, data))
  const node = decodeNode(data, shape)
  const links = openNode(node, link.key)
  return Buffer.concat(links.map((l, i) => textBelow(l, blocks, node.height > 1 ? childShape(node, i) : undefined)))
}

test('manifest.json: files, their blocks and roots, read again, and invalid nodes', async () => {
  const vectors = read<Manifest>('manifest')
  const subkey = bytes(vectors.subkey)
  for (const { what, chunkBytes, salt, text, root, blocks } of vectors.files) {
    const made = await fileByCode(subkey, bytes(text), chunkBytes, bytes(salt))
    assert.deepEqual(made, { root, blocks }, what)
    const second = fileBySpec(subkey, bytes(text), chunkBytes, bytes(salt))
    assert.deepEqual(saySecond(second.root), root, what)
    for (const { cid, bytes: data } of blocks)
      assert.equal(hex(second.blocks.get(hex(fromBase32(cid.slice(1)))) as Buffer), data)
    const known = new Map(blocks.map(block => [block.cid, block.bytes]))
    assert.equal(hex(textBelow({ cid: CID.parse(root.cid), key: bytes(root.key) }, known)), text)
  }

  const { length, chunkBytes, root, nodes } = vectors.large
  const text = Uint8Array.from({ length }, (_, n) => n % 251)
  const made = await fileByCode(subkey, text, chunkBytes, new Uint8Array(0))
  assert.deepEqual(made.root, root)
  assert.deepEqual(
    made.blocks.filter(({ leaf }) => leaf === null).map(({ cid }) => cid),
    nodes
  )
  const second = fileBySpec(subkey, text, chunkBytes, new Uint8Array(0))
  assert.deepEqual(saySecond(second.root), root)
  assert.deepEqual(second.nodes, nodes)
  const known = new Map(made.blocks.map(block => [block.cid, block.bytes]))
  assert.equal(hex(textBelow({ cid: CID.parse(root.cid), key: bytes(root.key) }, known)), hex(text))

  for (const { text, salt, root } of vectors.inline) {
    assert.equal(hex(inlineRoot(secretKey(subkey), bytes(text), bytes(salt))), root)
    assert.equal(hex(sealBySpec(subkey, 'chunk', Buffer.alloc(0), bytes(salt), padChunk(bytes(text))).siv), root)
  }
  for (const [leaves, height] of vectors.heights) assert.equal(heightOf(leaves), height)
  for (const [what, data] of Object.entries(vectors.refused))
    assert.throws(() => decodeNode(bytes(data)), FormatError, what)
})

interface Stamps {
  hlcs: Array<{ ms: number; counter: number; hlc: string }>
  ascending: Array<{ hlc: string; author: string; incarnation: string }>
}

test('stamps.json: hlcs in bytes, and the order of stamps', () => {
  const { hlcs, ascending } = read<Stamps>('stamps')
  for (const { ms, counter, hlc } of hlcs) {
    assert.equal(hex(encodeHlc(hlcAt(ms, counter))), hlc)
    assert.equal(decodeHlc(bytes(hlc)), hlcAt(ms, counter))
    assert.equal(hlcMs(decodeHlc(bytes(hlc))), ms)
    assert.equal(ms.toString(16).padStart(12, '0') + counter.toString(16).padStart(4, '0'), hlc)
  }
  const stamps = ascending.map(({ hlc, author, incarnation }) => ({
    hlc: decodeHlc(bytes(hlc)),
    author: bytes(author),
    incarnation: bytes(incarnation)
  }))
  for (const [i, a] of stamps.entries())
    for (const [j, b] of stamps.entries()) assert.equal(Math.sign(compareStamps(a, b)), Math.sign(i - j), `${i}, ${j}`)
})

interface SaidStatement {
  what: string
  kind: Kind
  grant: string | null
  hlc: string
  fields: Record<string, unknown>
  sig: string
  id: string
  bytes: string
}

interface Statements {
  network: string
  root: string
  device: string
  statements: SaidStatement[]
  refused: Record<string, string>
}

test('statements.json: the bytes, id and signature of at least one statement of every kind', async () => {
  const vectors = read<Statements>('statements')
  const network = bytes(vectors.network)
  assert.deepEqual([...new Set(vectors.statements.map(({ kind }) => kind))].sort(), Object.keys(KINDS).sort())
  for (const said of vectors.statements) {
    const { what, kind } = said
    const [grant, seed] = said.grant === null ? [null, bytes(vectors.root)] : [bytes(said.grant), bytes(vectors.device)]
    const key = ed25519(seed)
    const made = signStatement(kind, toValue(said.fields) as Fields, {
      network,
      key,
      grant: grant ?? undefined,
      hlc: decodeHlc(bytes(said.hlc))
    })
    const expected = [said.sig, said.bytes, said.id]
    assert.deepEqual([made.sig, made.bytes, made.id].map(hex), expected, what)
    const second = statementBySpec(kind, network, bytes(said.hlc), grant, toSecond(said.fields) as object, seed)
    assert.deepEqual([second.sig, second.bytes, second.id].map(hex), expected, what)

    const decoded = decodeStatement(bytes(said.bytes))
    assert.equal(decoded.kind, kind)
    assert.equal(hex(encodeHlc(decoded.hlc)), said.hlc)
    assert.equal(decoded.grant === null ? null : hex(decoded.grant), said.grant)
    assert.deepEqual([decoded.sig, decoded.id].map(hex), [said.sig, said.id])
    assert.equal(hex(cbor(secondOf(decoded.fields))), hex(cbor(toSecond(said.fields))), what)
    assert.ok(await verifyStatement(decoded as Statement, network, publicHalf(key)), what)
  }
  for (const [what, data] of Object.entries(vectors.refused))
    assert.throws(() => decodeStatement(bytes(data)), FormatError, what)
})

interface Entries {
  network: string
  seed: string
  hlc: string
  grant: string
  content: string
  record: string
  records: Array<{
    what: string
    fields: Record<string, unknown>
    body?: Record<string, unknown>
    siv?: string
    id: string
    bytes: string
  }>
  covers: Array<{ hlc: string; author: string; incarnation: string; covered: boolean }>
  refused: Record<string, string>
}

test('entry.json: records and their bodies, what a record covers, and invalid records', async () => {
  const vectors = read<Entries>('entry')
  const [network, seed, hlc, grant] = (['network', 'seed', 'hlc', 'grant'] as const).map(n => bytes(vectors[n])) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer
  ]
  const author = publicHalf(ed25519(seed))
  for (const said of vectors.records) {
    const { what } = said
    const clear = toSecond(said.fields) as Record<string, unknown>
    const clearBytes = cbor({ kind: 'entry', v: 1, hlc, grant, ...clear })
    const sealed =
      said.body === undefined
        ? undefined
        : sealBySpec(bytes(vectors.record), 'body', clearBytes, Buffer.alloc(0), padBody(cbor(toSecond(said.body))))
    assert.equal(sealed && hex(sealed.siv), said.siv, what)
    const fields = sealed === undefined ? clear : { ...clear, siv: sealed.siv, body: sealed.bytes }
    const second = statementBySpec('entry', network, hlc, grant, fields, seed)
    assert.equal(hex(second.bytes), said.bytes, what)
    assert.equal(hex(second.id), said.id)

    const statement = decodeStatement(bytes(said.bytes)) as Statement<'entry'>
    assert.ok(await verifyStatement(statement as Statement, network, author), what)
    const record = readRecord(statement, author)
    assert.equal(hex(record.id), said.id)
    const { siv: _, body: __, ...clearFields } = statement.fields
    assert.equal(hex(cbor(clearFields)), hex(cbor(clear)), what)
    const { written, op, root } = record
    assert.equal(hex(encodeHlc(written.hlc)), hex((clear['written'] as Buffer[])[0] as Buffer))
    if (said.body === undefined) {
      assert.equal(op, 'delete')
      assert.throws(() => openBody(secretKey(bytes(vectors.record)), statement), FormatError)
      continue
    }
    const body: EntryBody = openBody(secretKey(bytes(vectors.record)), statement)
    assert.equal(hex(cbor(body)), hex(cbor(toSecond(said.body))), what)
    if (body.content !== undefined)
      assert.equal(hex(inlineRoot(secretKey(bytes(vectors.content)), body.content)), hex(root as Uint8Array))
  }

  const moved = vectors.records.find(({ what }) => what.startsWith('a move')) as Entries['records'][0]
  const past = readRecord(decodeStatement(bytes(moved.bytes)) as Statement<'entry'>, author)
  for (const said of vectors.covers) {
    const stamp = { hlc: decodeHlc(bytes(said.hlc)), author: bytes(said.author), incarnation: bytes(said.incarnation) }
    assert.equal(covers(past, stamp), said.covered, JSON.stringify(said))
  }
  for (const [what, data] of Object.entries(vectors.refused)) {
    const statement = decodeStatement(bytes(data)) as Statement<'entry'>
    assert.ok(await verifyStatement(statement as Statement, network, author), what)
    assert.throws(() => readRecord(statement, author), FormatError, what)
  }
})

interface Capabilities {
  accepted: Array<{ root: string; key: string; gateway: string | null; text: string }>
  refused: Record<string, string>
}

test('capability.json: capabilities are written and read', () => {
  const { accepted, refused } = read<Capabilities>('capability')
  for (const { root, key, gateway, text } of accepted) {
    const rest = gateway === null ? {} : { gateway }
    assert.equal(formatCapability({ root: CID.decode(bytes(root)), key: bytes(key), ...rest }), text)
    const address = gateway === null ? '' : `@${gateway}`
    assert.equal(`dfscap1.b${toBase32(bytes(root))}.${bytes(key).toString('base64url')}${address}`, text)
    const parsed = parseCapability(text)
    assert.deepEqual([parsed.root.bytes, parsed.key].map(hex), [root, key])
    assert.equal(parsed.gateway ?? null, gateway)
  }
  for (const [what, text] of Object.entries(refused)) assert.throws(() => parseCapability(text), FormatError, what)
})

interface Paths {
  accepted: Array<{ given: string; parts: string[]; path: string }>
  refused: string[]
  names: string[]
  refusedNames: string[]
}

test('paths.json: paths of users, and names in records', () => {
  const { accepted, refused, names, refusedNames } = read<Paths>('paths')
  for (const { given, parts, path } of accepted) {
    assert.deepEqual(parsePath(given), parts)
    assert.equal(formatPath(parts), path)
    assert.deepEqual(parsePath(path), parts)
  }
  for (const text of refused) assert.throws(() => parsePath(text), PathError, JSON.stringify(text))
  for (const name of names) assert.equal(nameFault(name), undefined)
  for (const name of refusedNames) assert.notEqual(nameFault(name), undefined, JSON.stringify(name))
})
