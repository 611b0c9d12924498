import assert from 'node:assert/strict'
import { createHash, sign } from 'node:crypto'
import { test } from 'node:test'
import * as Digest from 'multiformats/hashes/digest'
import { encodeCanonical } from '../../../src/format/canonical.ts'
import { CID, nameBlock } from '../../../src/format/cid.ts'
import { STATEMENT_BYTES_MAX } from '../../../src/format/constants.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { KINDS, type Kind, MEMBERSHIP_KINDS } from '../../../src/format/kinds.ts'
import { privateKey, rawPublicKey } from '../../../src/format/network-key.ts'
import { encodeHlc } from '../../../src/format/stamp.ts'
import {
  decodeStatement,
  idOf,
  type KnownStatement,
  type Statement,
  signStatement,
  stampOf,
  verifyStatement
} from '../../../src/format/statement.ts'
import { concatBytes, toHex, utf8 } from '../../../src/util/bytes.ts'
import { author, device, network } from '../../fixtures/keys.ts'
import { GRANT_ID, HLC, SAMPLE_FIELDS, sampleStatements, signSample } from '../../fixtures/statements.ts'

const signerOf = (statement: KnownStatement): Uint8Array => (statement.grant === null ? network.network : author)

/** The map that a statement encodes, for tests that change it. */
function mapOf(statement: Statement, sig: Uint8Array = statement.sig): Record<string, unknown> {
  const { kind, hlc, grant, fields } = statement
  return { ...fields, kind, v: 1, hlc: encodeHlc(hlc), ...(grant === null ? {} : { grant }), sig }
}

function sortOf(value: unknown): string {
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return 'bytes'
  if (CID.asCID(value) !== null) return 'CID'
  return Array.isArray(value) ? 'list' : typeof value
}

const NULLABLE = new Set([
  'settings.replicas',
  'settings.ack',
  'settings.chunker',
  'settings.outAfter',
  'settings.versionDays',
  'invite.uses',
  'revocation.list',
  'entry.root',
  'entry.rootEpoch',
  'share.root'
])

function isNullable(kind: Kind, field: string, value: unknown): boolean {
  return NULLABLE.has(`${kind}.${field}`) && (value === null || (field === 'uses' && value === 17))
}

for (const statement of sampleStatements()) {
  const { kind } = statement

  test(`${kind}: a signed statement is read again, and verifies under its author only`, async () => {
    const again = decodeStatement(statement.bytes)
    assert.equal(again.kind, kind)
    assert.equal(again.hlc, HLC)
    assert.equal(toHex(encodeCanonical(again.fields)), toHex(encodeCanonical(SAMPLE_FIELDS[kind])))
    assert.equal(idOf(again), createHash('sha256').update(statement.bytes).digest('hex'))
    assert.ok(await verifyStatement(again, network.network, signerOf(statement)))
    assert.ok(
      !(await verifyStatement(again, network.network, rawPublicKey(privateKey('ed25519', Buffer.alloc(32, 9)))))
    )
    assert.ok(!(await verifyStatement(again, Buffer.alloc(32), signerOf(statement))), 'in another network')
  })

  test(`${kind}: the signature covers what SPEC.md says`, () => {
    const { sig: _, ...rest } = mapOf(statement)
    const signed = concatBytes(utf8(`dfs/${kind}/1\0`), network.network, encodeCanonical(rest))
    assert.equal(toHex(sign(null, signed, statement.grant === null ? network.root : device)), toHex(statement.sig))
  })

  test(`${kind}: an additional or missing field is refused`, () => {
    assert.throws(() => decodeStatement(encodeCanonical({ ...mapOf(statement), extra: 1 })), FormatError)
    for (const field of Object.keys(mapOf(statement))) {
      const { [field]: _, ...rest } = mapOf(statement)
      const bytes = encodeCanonical(rest)
      const shape = KINDS[kind].shape as Record<string, { isOptional(): boolean }>
      const isOptional = field === 'grant' || shape[field]?.isOptional() === true
      if (isOptional) decodeStatement(bytes)
      else assert.throws(() => decodeStatement(bytes), FormatError, field)
    }
  })

  test(`${kind}: a field of another type is refused`, () => {
    for (const field of Object.keys(mapOf(statement))) {
      for (const value of [17, 'text', false, null, [17], { a: 17 }, Buffer.alloc(3)]) {
        if (sortOf(value) === sortOf(mapOf(statement)[field]) || isNullable(kind, field, value)) continue
        const bytes = encodeCanonical({ ...mapOf(statement), [field]: value })
        assert.throws(() => decodeStatement(bytes), FormatError, `${field}: ${sortOf(value)}`)
      }
    }
  })
}

test('unknown kinds and versions, and values other than maps, are refused', () => {
  const good = mapOf(signSample('out'))
  for (const alien of [
    { ...good, kind: 'constructor' },
    { ...good, kind: '__proto__' },
    { ...good, kind: 'Entry' },
    { ...good, kind: 7 },
    { ...good, v: 2 },
    { ...good, v: 0 },
    { ...good, v: '1' },
    { ...good, hlc: Buffer.alloc(7) },
    { ...good, hlc: 5 },
    { ...good, grant: null },
    { ...good, grant: Buffer.alloc(31) },
    { ...good, sig: Buffer.alloc(63) },
    [good],
    [],
    null,
    'text',
    17,
    Buffer.alloc(10)
  ])
    assert.throws(() => decodeStatement(encodeCanonical(alien)), FormatError)
})

test('an additional or missing byte at the end is refused', () => {
  const { bytes } = signSample('grant')
  assert.throws(() => decodeStatement(concatBytes(bytes, Uint8Array.of(0))), FormatError)
  for (let length = 0; length < bytes.byteLength; length++)
    assert.throws(() => decodeStatement(bytes.subarray(0, length)), FormatError)
})

test('the bounds of text count bytes, and only text is accepted', () => {
  const status = SAMPLE_FIELDS.status
  signSample('status', { ...status, zone: '€'.repeat(21), addresses: ['€'.repeat(85)] })
  const options = { network: network.network, key: device, grant: GRANT_ID, hlc: HLC }
  for (const fields of [
    { ...status, zone: '' },
    { ...status, zone: '€'.repeat(22) },
    { ...status, zone: 'a\ud800' },
    { ...status, zone: '\ufeffcellar' },
    { ...status, addresses: ['€'.repeat(86)] },
    { ...status, addresses: [''] },
    { ...status, addresses: ['a\udc00'] },
    { ...status, addresses: ['\ufeff/ip4/192.0.2.1'] },
    { ...status, addresses: Array.from({ length: 17 }, () => '/ip4/192.0.2.1') },
    { ...status, weight: -1 },
    { ...status, weight: 0.5 },
    { ...status, weight: Number.NaN },
    { ...status, weight: 2 ** 53 }
  ])
    assert.throws(() => signStatement('status', fields, options), FormatError, JSON.stringify(fields).slice(0, 80))
})

/** Ids in ascending order. */
function numbered(n: number): Uint8Array {
  const id = Buffer.alloc(32)
  id.writeUInt32BE(n)
  return id
}

test('an epoch names each id once and in order, so that it has one encoding', () => {
  const epoch = { hash: Buffer.alloc(32), previous: [], excludes: [] }
  for (const field of ['previous', 'excludes'] as const) {
    signSample('epoch', { ...epoch, [field]: [numbered(1), numbered(2), numbered(0x100)] })
    for (const ids of [
      [numbered(2), numbered(1)],
      [numbered(1), numbered(1)],
      [numbered(1), numbered(3), numbered(2)]
    ])
      assert.throws(() => signSample('epoch', { ...epoch, [field]: ids }), FormatError, field)
  }
})

test('lists over their bounds are refused', () => {
  const ids = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => numbered(i))
  signSample('epoch', { previous: ids(16), hash: Buffer.alloc(32), excludes: ids(256) })
  assert.throws(() => signSample('epoch', { previous: ids(17), hash: Buffer.alloc(32), excludes: [] }), FormatError)
  assert.throws(() => signSample('epoch', { previous: [], hash: Buffer.alloc(32), excludes: ids(257) }), FormatError)
})

test('the box of a handover has exactly 80 bytes', () => {
  const { handover } = SAMPLE_FIELDS
  signSample('handover', handover)
  for (const length of [0, 79, 81, 256])
    assert.throws(() => signSample('handover', { ...handover, box: Buffer.alloc(length) }), FormatError)
})

test('a statement over its bound is refused before it is decoded', () => {
  const seen = Array.from({ length: 256 }, (_, i) => [numbered(i), Buffer.alloc(8), Buffer.alloc(8)] as const)
  // 256 times 53 bytes in `seen`, and a body of 8 KiB.
  const large = { ...SAMPLE_FIELDS.entry, seen, body: Buffer.alloc(8240) } as never
  assert.throws(() => signSample('entry', large), /more than 16384 bytes/)
  assert.throws(() => decodeStatement(Buffer.alloc(STATEMENT_BYTES_MAX + 1, 0xff)), /more than 16384 bytes/)
})

test('fields that are undefined are left out', () => {
  const { zone: _, ...rest } = SAMPLE_FIELDS.status
  assert.equal(toHex(signSample('status', { ...rest, zone: undefined }).bytes), toHex(signSample('status', rest).bytes))
})

test('a CID in a statement must be one of this network, whatever its codec', () => {
  const share = SAMPLE_FIELDS.share
  const { digest } = nameBlock(Buffer.from('x')).multihash
  const foreign = [
    CID.createV1(0x55, Digest.create(0, digest)),
    CID.createV1(0x55, Digest.create(0x1e, digest.subarray(0, 4))),
    // A value that `CID.asCID` takes for a CID of another library.
    { '/': 'x', bytes: 'x', version: 1, code: 0x55, multihash: { code: 0x1e, digest } } as unknown as CID
  ]
  for (const root of foreign) {
    assert.throws(() => signSample('share', { ...share, root }), FormatError)
    assert.throws(() => signSample('revocation', { target: Buffer.alloc(32), list: root }), FormatError)
  }
  signSample('share', { ...share, root: CID.createV1(0x0129, Digest.create(0x1e, digest)) })
})

test('a stamp has the author, and the incarnation if the kind has one', () => {
  const stamp = stampOf(signSample('entry') as Statement, author)
  assert.equal(stamp.hlc, HLC)
  assert.equal(stamp.author, author)
  assert.equal(toHex(stamp.incarnation), toHex(SAMPLE_FIELDS.entry.incarnation))
  assert.deepEqual([...stampOf(signSample('status') as Statement, author).incarnation], [0, 0, 0, 0, 0, 0, 0, 0])
})

test('an invalid key is an error when it verifies', async () => {
  const statement = signSample('out') as Statement
  await assert.rejects(verifyStatement(statement, network.network, Buffer.alloc(31)))
  assert.equal(await verifyStatement(statement, network.network, Buffer.alloc(32, 0xff)), false)
})

test('membership is every kind but entries and shares', () => {
  const others = (Object.keys(KINDS) as Kind[]).filter(kind => !MEMBERSHIP_KINDS.has(kind))
  assert.deepEqual(others, ['entry', 'share'])
})

test('a statement with the bytes of a signature in one of its fields has the one encoding, and verifies', async () => {
  // What stands in for the signature while it is made, and the key before it: once at the front and once overlapping.
  const zeros = concatBytes(Uint8Array.of(0x63, 0x73, 0x69, 0x67, 0x58, 0x40), new Uint8Array(64))
  for (const body of [zeros, concatBytes(zeros, zeros)]) {
    const length = (SAMPLE_FIELDS.entry.body as Uint8Array).byteLength
    const padded = concatBytes(body, new Uint8Array(length - body.byteLength))
    const statement = signSample('entry', { ...SAMPLE_FIELDS.entry, body: padded })
    assert.deepEqual(Buffer.from(statement.bytes), Buffer.from(encodeCanonical(mapOf(statement))))
    assert.ok(await verifyStatement(decodeStatement(statement.bytes), network.network, author))
  }
})
