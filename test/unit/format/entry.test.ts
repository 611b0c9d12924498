import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dagJson from '@ipld/dag-json'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { encodeCanonical } from '../../../src/format/canonical.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import {
  covers,
  type EntryBody,
  openBody,
  type RecordInit,
  ROOT_ENTRY,
  readRecord,
  rootOf,
  type Seen,
  seenKey,
  signRecord
} from '../../../src/format/entry.ts'
import { FormatError, SealError } from '../../../src/format/errors.ts'
import type { Fields } from '../../../src/format/kinds.ts'
import { paddedBodyLength, padInPlace } from '../../../src/format/padding.ts'
import { seal, secretKey } from '../../../src/format/seal.ts'
import { encodeHlc, type Stamp } from '../../../src/format/stamp.ts'
import { clearBytesOf, type Statement, signStatement } from '../../../src/format/statement.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { author, recordSubkey } from '../../fixtures/keys.ts'
import {
  BLOCK_BODY,
  BLOCK_RECORD,
  DIRECTORY_RECORD,
  GRANT_ID,
  HLC,
  INLINE_BODY,
  INLINE_RECORD,
  SIGNING
} from '../../fixtures/statements.ts'

const past = (n: number, hlc = HLC - 1n): Seen => ({
  author: Buffer.alloc(32, n >> 8),
  incarnation: Buffer.alloc(8, n & 0xff),
  hlc
})
const pasts = (count: number): Seen[] => Array.from({ length: count }, (_, n) => past(n))
const stampOf = ({ author, incarnation, hlc }: Seen): Stamp => ({ author, incarnation, hlc })

/** Returns a record with these clear fields, signed without any check. */
function forge(change: Partial<Fields<'entry'>>): Statement<'entry'> {
  const { fields } = signRecord(INLINE_RECORD, SIGNING)
  return signStatement('entry', { ...fields, ...change }, SIGNING)
}

/** Returns a record with this body, sealed correctly. */
function forgeBody(init: RecordInit, text: Uint8Array): Statement<'entry'> {
  const { siv: _, body: __, ...clear } = signRecord(init, SIGNING).fields
  const buffer = Buffer.alloc(paddedBodyLength(text.byteLength))
  buffer.set(text)
  const padded = padInPlace(buffer, text.byteLength, buffer.byteLength)
  const clearBytes = clearBytesOf('entry', HLC, GRANT_ID, clear)
  const { siv, bytes } = seal(recordSubkey, padded, { label: 'body', clear: clearBytes })
  return signStatement('entry', { ...clear, siv, body: bytes }, SIGNING)
}

test('a signed record is read and opened again: inline, in blocks, a directory', () => {
  for (const init of [INLINE_RECORD, BLOCK_RECORD, DIRECTORY_RECORD]) {
    const statement = signRecord(init, SIGNING)
    const record = readRecord(statement, author)
    assert.equal(toHex(record.entry), toHex(init.entry))
    assert.equal(record.op, 'put')
    assert.equal(record.stamp.hlc, HLC)
    assert.deepEqual(record.placed, record.written)
    assert.equal(record.placed.hlc, HLC)
    const { content, key, ...rest } = openBody(recordSubkey, statement)
    const { content: c, key: k, ...expected } = init.body as EntryBody
    assert.equal(toHex(encodeCanonical(rest)), toHex(encodeCanonical(expected)))
    assert.deepEqual(
      [content, key].map(bytes => bytes && toHex(bytes)),
      [c, k].map(bytes => bytes && toHex(bytes))
    )
  }
})

test('every field of a body is read again', () => {
  const body: EntryBody = {
    ...INLINE_BODY,
    mode: 0o7777,
    props: { a: [1, 2.5, null, { b: Buffer.from('x') }], é: true }
  }
  const opened = openBody(recordSubkey, signRecord({ ...INLINE_RECORD, body }, SIGNING))
  assert.equal(toHex(encodeCanonical(opened)), toHex(encodeCanonical(body)))
  const link: EntryBody = { parent: body.parent, name: 'l', kind: 'file', size: 0, mtime: -1, target: '../x' }
  const linked = openBody(recordSubkey, signRecord({ ...DIRECTORY_RECORD, body: link }, SIGNING))
  assert.equal(linked.target, '../x')
})

test('signing sorts the causal past, and a record may keep the stamps in it', () => {
  const seen = [past(3), past(1), past(2, HLC - 5n)]
  const kept = stampOf(past(2, HLC - 7n))
  const statement = signRecord({ ...INLINE_RECORD, seen, placed: kept, written: stampOf(past(3)) }, SIGNING)
  const record = readRecord(statement, author)
  assert.deepEqual(
    record.seen.map(({ incarnation }) => incarnation[0]),
    [1, 2, 3]
  )
  assert.ok(covers(record, kept))
  assert.ok(covers(record, record.stamp))
  assert.ok(!covers(record, stampOf(past(2, HLC - 4n))))
  assert.ok(!covers(record, stampOf(past(4))))
  assert.equal(record.placed.hlc, HLC - 7n)
})

test('a record that keeps a stamp it has not seen is refused', () => {
  for (const stamp of [
    stampOf(past(1)),
    { ...stampOf(past(1)), hlc: HLC },
    { hlc: HLC, author, incarnation: Buffer.alloc(8) }
  ]) {
    assert.throws(() => signRecord({ ...INLINE_RECORD, placed: stamp }, SIGNING), FormatError)
    assert.throws(() => signRecord({ ...INLINE_RECORD, written: stamp }, SIGNING), FormatError)
  }
  const seen = [past(1, HLC - 9n)]
  assert.throws(() => signRecord({ ...INLINE_RECORD, seen, written: stampOf(past(1, HLC - 8n)) }, SIGNING), FormatError)
})

test('a record that has seen a stamp not before its own is refused', () => {
  for (const hlc of [HLC, HLC + 1n])
    assert.throws(() => signRecord({ ...INLINE_RECORD, seen: [past(1, hlc)] }, SIGNING), FormatError)
})

test('a causal past that is not sorted, or names an author twice, is refused', () => {
  const row = (n: number, hlc = HLC - 1n): [Uint8Array, Uint8Array, Uint8Array] => {
    const { author, incarnation } = past(n)
    return [author, incarnation, encodeHlc(hlc)]
  }
  readRecord(forge({ seen: [row(1), row(2)] }), author)
  assert.throws(() => readRecord(forge({ seen: [row(2), row(1)] }), author), FormatError)
  assert.throws(() => readRecord(forge({ seen: [row(1), row(1)] }), author), FormatError)
  assert.throws(() => readRecord(forge({ seen: [row(1, HLC - 2n), row(1)] }), author), FormatError)
})

test('a put may have seen 128 stamps, and a delete 256', () => {
  readRecord(signRecord({ ...INLINE_RECORD, seen: pasts(128) }, SIGNING), author)
  assert.throws(() => signRecord({ ...INLINE_RECORD, seen: pasts(129) }, SIGNING), FormatError)
  const gone = { ...INLINE_RECORD, op: 'delete' as const, root: null, rootEpoch: null, body: null }
  readRecord(signRecord({ ...gone, seen: pasts(256) }, SIGNING), author)
  assert.throws(() => signRecord({ ...gone, seen: pasts(257) }, SIGNING), FormatError)
})

test('clear fields that do not go together are refused', () => {
  const { fields } = signRecord(INLINE_RECORD, SIGNING)
  const cut = CID.createV1(0x55, Digest.create(0x1e, Buffer.alloc(4)))
  const identity = CID.createV1(0x55, Digest.create(0, Buffer.alloc(32)))
  const bad: Record<string, Partial<Fields<'entry'>>> = {
    'a root without its epoch': { rootEpoch: null },
    'an epoch without a root': { root: null },
    'a body without a siv': { siv: undefined },
    'a siv without a body': { body: undefined },
    'a put without a body': { siv: undefined, body: undefined },
    'a put that purges': { purge: true },
    'a put that cancels': { cancel: true },
    'a delete with a root': { op: 'delete' },
    'a root by a cut hash': { root: cut.bytes },
    'a root by no hash': { root: identity.bytes },
    'a root of version 0': { root: CID.createV0(Digest.create(0x12, Buffer.alloc(32))).bytes },
    'a root in a codec not ours': { root: nameBlock(Buffer.from('{}'), dagJson.code).bytes },
    'a root that is nothing': { root: Buffer.alloc(31) },
    'an empty root': { root: Buffer.alloc(0) },
    'a root with a byte behind': { root: Buffer.concat([nameBlock(Buffer.from('x')).bytes, Buffer.alloc(1)]) }
  }
  for (const [what, change] of Object.entries(bad))
    assert.throws(() => readRecord(forge({ ...fields, ...change }), author), FormatError, what)
})

test('a record of the root directory is refused, since it could be its own parent', () => {
  const root = { ...DIRECTORY_RECORD, entry: ROOT_ENTRY }
  assert.throws(() => signRecord(root, SIGNING), FormatError)
  assert.throws(() => signRecord({ ...root, op: 'delete', body: null }, SIGNING), FormatError)
  assert.throws(() => readRecord(forge({ id: Buffer.alloc(16) }), author), FormatError)
})

test('a sealed body of a length that padding never has is refused', () => {
  for (const length of [256, 512, 1024, 2048, 4096, 8192])
    readRecord(forge({ body: Buffer.alloc(length + 48) }), author)
  for (const length of [0, 47, 48, 256, 48 + 128, 48 + 255, 48 + 257, 48 + 768, 48 + 8191])
    assert.throws(() => readRecord(forge({ body: Buffer.alloc(length) }), author), FormatError, `${length}`)
})

test('the codec of manifest nodes is a parameter', () => {
  const root = nameBlock(Buffer.from('{}'), dagJson.code).bytes
  const statement = signRecord({ ...BLOCK_RECORD, root }, { ...SIGNING, nodeCodecs: [dagJson.code] })
  readRecord(statement, author, [dagJson.code])
  assert.throws(() => readRecord(statement, author), FormatError)
})

test('rootOf tells a block from content inside the record', () => {
  assert.deepEqual(rootOf(Buffer.alloc(32, 1)), { siv: Buffer.alloc(32, 1) })
  const cid = nameBlock(Buffer.from('x'))
  const root = rootOf(cid.bytes)
  assert.ok('cid' in root && root.cid.equals(cid))
})

test('a body that does not fit its record is neither signed nor opened', () => {
  const key = Buffer.alloc(32)
  const content = INLINE_BODY.content as Uint8Array
  const directory = DIRECTORY_RECORD.body as EntryBody
  const bad: Record<string, [RecordInit, EntryBody]> = {
    'a file without content': [INLINE_RECORD, { ...INLINE_BODY, content: undefined }],
    'a file without a key': [BLOCK_RECORD, { ...BLOCK_BODY, key: undefined }],
    'inline content under a block': [BLOCK_RECORD, INLINE_BODY],
    'a key under a siv': [INLINE_RECORD, BLOCK_BODY],
    'a file in blocks without a byte': [BLOCK_RECORD, { ...BLOCK_BODY, size: 0 }],
    'both content and key': [INLINE_RECORD, { ...INLINE_BODY, key }],
    'a size that is not that of the content': [INLINE_RECORD, { ...INLINE_BODY, size: content.byteLength + 1 }],
    'a file without a root': [DIRECTORY_RECORD, INLINE_BODY],
    'a directory with a root': [INLINE_RECORD, directory],
    'a directory with a size': [DIRECTORY_RECORD, { ...directory, size: 1 }],
    'a directory with content': [DIRECTORY_RECORD, { ...directory, content: new Uint8Array(0) }],
    'a directory with a target': [DIRECTORY_RECORD, { ...directory, target: 'x' }],
    'a link with a root': [INLINE_RECORD, { ...INLINE_BODY, target: 'x' }]
  }
  for (const [what, [init, body]] of Object.entries(bad)) {
    assert.throws(() => signRecord({ ...init, body }, SIGNING), FormatError, what)
    const defined = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
    const forged = forgeBody(init, encodeCanonical(defined))
    readRecord(forged, author)
    assert.throws(() => openBody(recordSubkey, forged), FormatError, what)
  }
  const gone = { ...DIRECTORY_RECORD, op: 'delete' as const }
  openBody(recordSubkey, signRecord(gone, SIGNING))
  assert.throws(() => signRecord({ ...gone, body: INLINE_BODY }, SIGNING), FormatError)
})

test('unknown fields of a body, and bodies that are not maps, are refused', () => {
  const good = Object.fromEntries(Object.entries(INLINE_BODY).filter(([, value]) => value !== undefined))
  const bad: Record<string, unknown> = {
    'a field too many': { ...good, extra: 1 },
    'a parent of 15 bytes': { ...good, parent: Buffer.alloc(15) },
    'a name that is no text': { ...good, name: Buffer.from('x') },
    'a kind of its own': { ...good, kind: 'fifo' },
    'properties that are a list': { ...good, props: ['x'] },
    'properties that are bytes': { ...good, props: Buffer.from('x') },
    'half a byte': { ...good, size: 17.5 },
    'a time that is none': { ...good, mtime: 'now' },
    'a mode of five digits': { ...good, mode: 0o10000 },
    'a media type without end': { ...good, type: 'x'.repeat(256) },
    'content over its bound': { ...good, content: Buffer.alloc(1025), size: 1025 },
    'a list': [good],
    text: 'hello'
  }
  for (const [what, value] of Object.entries(bad))
    assert.throws(() => openBody(recordSubkey, forgeBody(INLINE_RECORD, encodeCanonical(value))), FormatError, what)
  const notCanonical = Buffer.concat([encodeCanonical(good), Uint8Array.of(0)])
  assert.throws(() => openBody(recordSubkey, forgeBody(INLINE_RECORD, notCanonical)), FormatError)
})

test('text in a body must be well-formed, and its bounds count bytes', () => {
  const sign = (change: Partial<EntryBody>) =>
    signRecord({ ...INLINE_RECORD, body: { ...INLINE_BODY, ...change } }, SIGNING)
  sign({ type: 'é'.repeat(127) })
  assert.throws(() => sign({ type: 'é'.repeat(128) }), FormatError)
  assert.throws(() => sign({ type: 'a\ud800' }), FormatError)
  assert.throws(() => sign({ name: 'a\ud800' }), FormatError)
  assert.throws(() => sign({ mtime: Number.NaN }), FormatError)
  assert.throws(() => sign({ mtime: 2 ** 53 }), FormatError)
  assert.throws(() => sign({ name: 'x'.repeat(9000) }), FormatError)
  for (const text of ['\ufeffx', 'x\ud800']) {
    for (const change of [{ name: text }, { type: text }, { props: { [text]: 1 } }, { props: { a: [{ b: text }] } }])
      assert.throws(() => sign(change), FormatError, JSON.stringify(change))
    const body: EntryBody = { ...INLINE_BODY, size: 0, content: undefined, target: text }
    assert.throws(() => signRecord({ ...DIRECTORY_RECORD, body }, SIGNING), FormatError)
  }
})

test('properties are bounded by the size of a body and the depth of nesting', () => {
  const sign = (props: Record<string, unknown>) =>
    signRecord({ ...INLINE_RECORD, body: { ...INLINE_BODY, props } }, SIGNING)
  assert.equal(sign({ x: 'x'.repeat(7900) }).fields.body?.byteLength, 8192 + 48)
  assert.throws(() => sign({ x: 'x'.repeat(8 << 10) }), /properties .* 8188 bytes/)
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])
  // The body and the properties are two maps.
  openBody(recordSubkey, sign({ x: nested(62) }))
  assert.throws(() => sign({ x: nested(63) }), FormatError)
})

test('openBody does not check the name', () => {
  const statement = signRecord({ ...INLINE_RECORD, body: { ...INLINE_BODY, name: '../../x' } }, SIGNING)
  assert.equal(openBody(recordSubkey, statement).name, '../../x')
})

test('a body opens only under its own subkey and with its own clear fields', () => {
  const statement = signRecord(INLINE_RECORD, SIGNING)
  assert.throws(() => openBody(secretKey(Buffer.alloc(32)), statement), SealError)
  const { fields } = statement
  for (const change of [
    { replicas: 4 },
    { id: Buffer.alloc(16, 9) },
    { epoch: Buffer.alloc(32) },
    { root: Buffer.alloc(32) },
    { siv: Buffer.alloc(32) }
  ]) {
    const moved = signStatement('entry', { ...fields, ...change }, SIGNING)
    assert.throws(() => openBody(recordSubkey, moved), SealError, Object.keys(change).join())
  }
  const later = signStatement('entry', fields, { ...SIGNING, hlc: HLC + 1n })
  assert.throws(() => openBody(recordSubkey, later), SealError)
  const other = signStatement('entry', fields, { ...SIGNING, grant: Buffer.alloc(32) })
  assert.throws(() => openBody(recordSubkey, other), SealError)
  const bodiless = { ...INLINE_RECORD, op: 'delete' as const, root: null, rootEpoch: null, body: null }
  assert.throws(() => openBody(recordSubkey, signRecord(bodiless, SIGNING)), FormatError)
})

test('the size of a sealed body reveals only which doubling it needs', () => {
  const sizes = new Set<number>()
  for (let length = 0; length <= 1024; length += 16) {
    const content = Buffer.alloc(length)
    const body = { ...INLINE_BODY, content, size: length }
    sizes.add(signRecord({ ...INLINE_RECORD, body }, SIGNING).fields.body?.byteLength as number)
  }
  assert.deepEqual([...sizes], [256 + 48, 512 + 48, 1024 + 48, 2048 + 48])
})

test('seenKey differs for each author and incarnation', () => {
  const keys = [past(1), past(2), past(256)].map(({ author, incarnation }) => seenKey(author, incarnation))
  assert.equal(new Set(keys).size, 3)
})
