import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import { decodeCanonical, encodeCanonical } from '../../src/format/canonical.ts'
import { nameBlock } from '../../src/format/cid.ts'
import { REPLICAS_MAX, TIME_MS_MAX } from '../../src/format/constants.ts'
import {
  type EntryBody,
  openBody,
  type RecordInit,
  ROOT_ENTRY,
  readRecord,
  signRecord
} from '../../src/format/entry.ts'
import { FormatError } from '../../src/format/errors.ts'
import { compareStamps, decodeHlc, encodeHlc, hlcAfter, hlcAt, hlcMs, type Stamp } from '../../src/format/stamp.ts'
import { decodeStatement, type Statement, verifyStatement } from '../../src/format/statement.ts'
import { compareBytes, concatBytes, toHex } from '../../src/util/bytes.ts'
import { author, network, recordSubkey } from '../fixtures/keys.ts'
import {
  DIRECTORY_RECORD,
  HLC,
  INLINE_RECORD,
  SAMPLE_FIELDS,
  SIGNING,
  sampleStatements,
  signSample
} from '../fixtures/statements.ts'

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

test('any value has one encoding, and any other bytes of it are refused', () => {
  const leaf = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array({ maxLength: 20 }),
    fc.uint8Array({ maxLength: 9 }).map(bytes => nameBlock(bytes))
  )
  const value = fc.letrec(tie => ({
    any: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('any'), { maxLength: 5 }),
      fc.dictionary(fc.string(), tie('any'))
    )
  })).any
  fc.assert(
    fc.property(value, value => {
      const bytes = encodeCanonical(value)
      assert.equal(toHex(encodeCanonical(decodeCanonical(bytes))), toHex(bytes))
      assert.throws(() => decodeCanonical(concatBytes(bytes, Uint8Array.of(0))), FormatError)
    })
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), bytes => {
      try {
        assert.equal(toHex(dagCbor.encode(decodeCanonical(bytes))), toHex(bytes))
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error))
      }
    }),
    { numRuns: 5000 }
  )
})

test('a statement is refused if its keys are in another order, or a number is longer than it need be', () => {
  for (const { bytes, kind } of sampleStatements()) {
    const value = dagCbor.decode(bytes) as Record<string, unknown>
    const keys = Object.keys(value)
    const sorted = [...keys].sort((a, b) => a.length - b.length || compareBytes(Buffer.from(a), Buffer.from(b)))
    assert.deepEqual(keys, sorted, 'shorter keys first, then byte by byte')
    fc.assert(
      fc.property(fc.shuffledSubarray(keys, { minLength: keys.length }), order => {
        const parts = order.flatMap(key => [dagCbor.encode(key), dagCbor.encode(value[key])])
        const shuffled = concatBytes(Uint8Array.of(0xa0 + keys.length), ...parts)
        if (toHex(shuffled) === toHex(bytes)) return
        assert.throws(() => decodeStatement(shuffled), FormatError)
      }),
      { numRuns: 20 }
    )
    const at = Buffer.from(bytes).indexOf(Buffer.from('617601', 'hex'))
    assert.ok(at > 0, `${kind} has a version`)
    for (const one of ['1801', '190001', 'fb3ff0000000000000', 'f93c00']) {
      const longer = concatBytes(bytes.subarray(0, at + 2), Buffer.from(one, 'hex'), bytes.subarray(at + 3))
      assert.throws(() => decodeStatement(longer), FormatError, `${kind}: ${one}`)
    }
    const first = concatBytes(
      Uint8Array.of(0xa1 + keys.length),
      ...[keys[0], ...keys].flatMap(key => [dagCbor.encode(key), dagCbor.encode(value[key as string])])
    )
    assert.throws(() => decodeStatement(first), FormatError, `${kind}: a key twice`)
  }
})

test('any record that can be signed can be read, opened and verified', async () => {
  const seen = fc
    .uniqueArray(fc.tuple(bytesOf(32), bytesOf(8), fc.bigInt({ min: 0n, max: HLC - 1n })), {
      maxLength: 6,
      selector: ([author, incarnation]) => toHex(author) + toHex(incarnation)
    })
    .map(rows => rows.map(([author, incarnation, hlc]) => ({ author, incarnation, hlc })))
  const body = fc.record({
    name: fc.string({ unit: 'grapheme', maxLength: 60 }),
    mtime: fc.integer({ min: -TIME_MS_MAX, max: TIME_MS_MAX }),
    mode: fc.option(fc.nat(0o7777), { nil: undefined }),
    type: fc.option(fc.string({ unit: 'grapheme-ascii', maxLength: 100 }), { nil: undefined }),
    props: fc.option(
      fc.dictionary(
        fc.string({ unit: 'grapheme' }).filter(key => key !== '__proto__'),
        fc.oneof(fc.integer(), fc.string({ unit: 'grapheme' }))
      ),
      { nil: undefined }
    )
  })
  const content = fc.oneof(
    bytesOf(32).map(root => ({ root, key: undefined, content: Buffer.from(root), size: 32 })),
    fc.tuple(bytesOf(8), bytesOf(32), fc.maxSafeNat()).map(([bytes, key, size]) => ({
      root: nameBlock(bytes).bytes,
      key,
      content: undefined,
      size: Math.max(1, size)
    }))
  )
  const any = fc.record({
    entry: bytesOf(16).filter(id => compareBytes(id, ROOT_ENTRY) !== 0),
    incarnation: bytesOf(8),
    epoch: bytesOf(32),
    seen,
    body,
    content,
    replicas: fc.nat(REPLICAS_MAX),
    keeps: fc.boolean()
  })
  await fc.assert(
    fc.asyncProperty(any, async ({ entry, incarnation, epoch, seen, body, content, replicas, keeps }) => {
      const { root, ...held } = content
      const full: EntryBody = { parent: ROOT_ENTRY, kind: 'file', ...body, ...held }
      const kept: Stamp | null = keeps ? (seen[0] ?? null) : null
      const init: RecordInit = {
        entry,
        incarnation,
        epoch,
        seen,
        op: 'put',
        placed: kept,
        written: null,
        root,
        rootEpoch: epoch,
        replicas,
        body: full
      }
      const statement = signRecord(init, SIGNING)
      const again = decodeStatement(statement.bytes)
      assert.ok(again.kind === 'entry' && (await verifyStatement(again, network.network, author)))
      const record = readRecord(again, author)
      assert.equal(record.seen.length, seen.length)
      assert.equal(compareStamps(record.placed, kept ?? record.stamp), 0)
      const opened = openBody(recordSubkey, again)
      const expected = Object.fromEntries(Object.entries(full).filter(([, value]) => value !== undefined))
      assert.equal(toHex(encodeCanonical(opened)), toHex(encodeCanonical(expected)))
    }),
    { numRuns: 100 }
  )
})

test('any text that can be signed is read again unchanged, and other text is refused', () => {
  const text = fc
    .tuple(
      fc.constantFrom('', '', '\ufeff', '\ufeff\ufeff', '\ud800', '\ufffe', 'e\u0301', '\0'),
      fc.string({ unit: 'binary' })
    )
    .map(parts => parts.join(''))
    .filter(text => text !== '' && Buffer.byteLength(text) <= 64)
  const isGood = (text: string): boolean => text.isWellFormed() && !text.startsWith('\ufeff')
  const { grant, status } = SAMPLE_FIELDS
  const link: EntryBody = { parent: ROOT_ENTRY, name: 'l', kind: 'file', size: 0, mtime: 0, target: '../x' }
  const inBody = (init: RecordInit, change: Partial<EntryBody>): Uint8Array =>
    signRecord({ ...init, body: { ...(init.body as EntryBody), ...change } }, SIGNING).bytes
  const bodyOf = (bytes: Uint8Array): EntryBody => openBody(recordSubkey, decodeStatement(bytes) as Statement<'entry'>)
  const grantOf = (bytes: Uint8Array) => (decodeStatement(bytes) as Statement<'grant'>).fields
  const statusOf = (bytes: Uint8Array) => (decodeStatement(bytes) as Statement<'status'>).fields
  const fields: Array<[string, (text: string) => Uint8Array, (bytes: Uint8Array) => unknown]> = [
    ['grant.name', name => signSample('grant', { ...grant, name }).bytes, bytes => grantOf(bytes).name],
    ['grant.zone', zone => signSample('grant', { ...grant, zone }).bytes, bytes => grantOf(bytes).zone],
    ['status.zone', zone => signSample('status', { ...status, zone }).bytes, bytes => statusOf(bytes).zone],
    [
      'status.addresses',
      address => signSample('status', { ...status, addresses: [address] }).bytes,
      bytes => statusOf(bytes).addresses[0]
    ],
    ['name', name => inBody(INLINE_RECORD, { name }), bytes => bodyOf(bytes).name],
    ['type', type => inBody(INLINE_RECORD, { type }), bytes => bodyOf(bytes).type],
    ['target', target => inBody({ ...DIRECTORY_RECORD, body: link }, { target }), bytes => bodyOf(bytes).target],
    ['props', x => inBody(INLINE_RECORD, { props: { x } }), bytes => bodyOf(bytes).props?.['x']],
    ['props, below', x => inBody(INLINE_RECORD, { props: { x: [[x]] } }), bytes => String(bodyOf(bytes).props?.['x'])],
    [
      'props, key',
      x => inBody(INLINE_RECORD, { props: { [x]: 1 } }),
      bytes => Object.keys(bodyOf(bytes).props ?? {})[0]
    ]
  ]
  for (const [what, sign, read] of fields) {
    fc.assert(
      fc.property(text, text => {
        // A plain object cannot have a key with this name.
        const isRefused = !isGood(text) || (what === 'props, key' && text === '__proto__')
        if (isRefused) assert.throws(() => sign(text), FormatError, what)
        else assert.equal(read(sign(text)), text, what)
      }),
      { numRuns: 100 }
    )
  }
})

const hlc = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
const stamp: fc.Arbitrary<Stamp> = fc.record({
  hlc: fc.oneof(hlc, fc.bigInt({ min: 0n, max: 2n })),
  author: fc.oneof(bytesOf(32), fc.constantFrom(Buffer.alloc(32), Buffer.alloc(32, 1))),
  incarnation: fc.oneof(bytesOf(8), fc.constantFrom(Buffer.alloc(8), Buffer.alloc(8, 1)))
})

test('stamps have a total order, which is that of their bytes', () => {
  const bytes = ({ hlc, author, incarnation }: Stamp): Uint8Array => concatBytes(encodeHlc(hlc), author, incarnation)
  fc.assert(
    fc.property(stamp, stamp, stamp, (a, b, c) => {
      assert.equal(Math.sign(compareStamps(a, b)), compareBytes(bytes(a), bytes(b)))
      assert.equal(compareStamps(a, b), -compareStamps(b, a) + 0)
      assert.equal(compareStamps(a, a), 0)
      if (compareStamps(a, b) <= 0 && compareStamps(b, c) <= 0) assert.ok(compareStamps(a, c) <= 0)
    }),
    { numRuns: 1000 }
  )
})

test('an hlc is decoded from its bytes, and the next one is greater, but no further ahead than it must be', () => {
  fc.assert(
    fc.property(hlc, value => {
      assert.equal(decodeHlc(encodeHlc(value)), value)
    })
  )
  const times = fc.nat(2 ** 31 - 1)
  fc.assert(
    fc.property(times, fc.array(fc.tuple(times, fc.nat(0xffff)).map(([ms, n]) => hlcAt(ms, n))), (ms, past) => {
      const next = hlcAfter(ms, ...past)
      assert.ok(past.every(before => before < next) && next >= hlcAt(ms))
      const greatest = past.reduce((a, b) => (a > b ? a : b), 0n)
      assert.ok(next === hlcAt(ms) || next === greatest + 1n)
      assert.ok(hlcMs(next) >= ms)
    })
  )
})
