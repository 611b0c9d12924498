import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { base32 } from 'multiformats/bases/base32'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { formatCapability, parseCapability } from '../../src/format/capability.ts'
import { DAG_CBOR, decodeCid, nameBlock } from '../../src/format/cid.ts'
import { openBody, readRecord, signRecord } from '../../src/format/entry.ts'
import { FormatError, SealError } from '../../src/format/errors.ts'
import { decodeNode } from '../../src/format/manifest.ts'
import { paddedBodyLength, padInPlace } from '../../src/format/padding.ts'
import { seal } from '../../src/format/seal.ts'
import { clearBytesOf, decodeStatement, type Statement, signStatement } from '../../src/format/statement.ts'
import { cbor, Link } from '../fixtures/format-by-spec.ts'
import { author, recordSubkey } from '../fixtures/keys.ts'
import {
  BLOCK_RECORD,
  DIRECTORY_RECORD,
  GRANT_ID,
  HLC,
  INLINE_RECORD,
  SAMPLE_FIELDS,
  SIGNING,
  sampleStatements
} from '../fixtures/statements.ts'

/**
 * A reader returns a value or refuses, whatever bytes it is given. It never throws a `RangeError` or a `TypeError`, nor
 * does it overflow the stack: a caller would take that for a bug of its own. The second implementation encodes values
 * that ours would not.
 */

const NUM_RUNS = 3000

function refuses(read: () => unknown): boolean {
  try {
    read()
    return false
  } catch (error) {
    assert.ok(error instanceof FormatError || error instanceof SealError, String((error as Error).stack))
    return true
  }
}

const digest = Buffer.alloc(32, 7)
/** `CID.asCID` takes this for a CID, because the map has the same value under two keys. */
const fakeLink = (same: unknown): object => ({
  '/': same,
  bytes: same,
  version: 1,
  code: 0x55,
  multihash: { code: 0x1e, digest }
})
/** Stands for nested lists that are so deep that encoding them here would overflow the stack too. */
const DEEP = 'as deep as it gets'
const DEEP_BYTES = cbor(DEEP)
const deepened = (bytes: Buffer): Buffer => {
  const at = bytes.indexOf(DEEP_BYTES)
  if (at < 0) return bytes
  const lists = Buffer.alloc(7000, 0x81).fill(0x80, 6999)
  return Buffer.concat([bytes.subarray(0, at), lists, bytes.subarray(at + DEEP_BYTES.byteLength)])
}
const nested = (depth: number): unknown => Array.from({ length: depth }).reduce((inner: unknown) => [inner], 0)
const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    ...['x', 1, true, -1, 0.5, 2 ** 40, '', '\ufeffx', [], {}, null].flatMap(value => [value, fakeLink(value)]),
    fakeLink([]),
    { ['__proto__']: 1 },
    { '/': 'x' },
    new Link(nameBlock(digest, DAG_CBOR).bytes as Buffer),
    new Link(Buffer.concat([Buffer.of(1, 0x55, 0x9e, 0, 0x20), digest])),
    new Link(Buffer.of(1, 0x55, 0, 0)),
    new Link(Buffer.alloc(0)),
    nested(70),
    DEEP
  ),
  fc.uint8Array({ maxLength: 70 }).map(bytes => Buffer.from(bytes)),
  fc.string({ unit: 'binary', maxLength: 20 }).map(text => text.toWellFormed())
)

/** Replaces one part of a value: a field, something inside a field, or a field that was not there. */
const altered = (value: unknown, steps: readonly number[], by: unknown): unknown => {
  const [step, ...rest] = steps
  if (step === undefined || typeof value !== 'object' || value === null) return by
  if (value instanceof Uint8Array || value instanceof Link) return by
  if (Array.isArray(value)) {
    const at = step % (value.length + 1)
    return [...value.slice(0, at), altered(value[at], rest, by), ...value.slice(at + 1)]
  }
  const keys = [...Object.keys(value), 'extra']
  const key = keys[step % keys.length] as string
  return { ...value, [key]: altered((value as Record<string, unknown>)[key], rest, by) }
}

/** Encodings of the values with up to two such changes, and sometimes with one byte flipped. */
const alteredBytes = (values: readonly unknown[]): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      fc.constantFrom(...values),
      fc.array(fc.tuple(fc.array(fc.nat(20), { minLength: 1, maxLength: 3 }), junk), { maxLength: 2 }),
      fc.option(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })))
    )
    .map(([value, changes, flip]) => {
      const bytes = deepened(cbor(changes.reduce((value, [steps, by]) => altered(value, steps, by), value)))
      if (flip !== null) bytes[flip[0] % bytes.byteLength]! ^= flip[1]
      return bytes
    })

const link = new Link(nameBlock(digest).bytes as Buffer)
const nodes = [
  { v: 1, leaves: 2, links: [link, link], sealed: Buffer.alloc(2 * 40 + 48) },
  { v: 1, leaves: 1025, links: [2, 2].map(() => new Link(nameBlock(digest, DAG_CBOR).bytes as Buffer)), sealed: digest }
]

test('any bytes of a manifest node are read or refused', () => {
  const shape = fc.option(fc.record({ leaves: fc.integer({ min: 1, max: 3 }), height: fc.integer({ min: 1, max: 4 }) }))
  let read = 0
  fc.assert(
    fc.property(alteredBytes(nodes), shape, (bytes, shape) => {
      if (!refuses(() => decodeNode(bytes, shape ?? undefined))) read++
    }),
    { numRuns: NUM_RUNS }
  )
  assert.ok(read > 0)
})

/** Statements as maps, which the second implementation encodes. */
const statements = sampleStatements().map(({ kind, hlc: _, grant, sig }) => {
  const fields = Object.entries(SAMPLE_FIELDS[kind]).map(([key, value]) => [key, isCid(value) ? link : value])
  return {
    kind,
    v: 1,
    hlc: Buffer.alloc(8, 1),
    ...(grant === null ? {} : { grant }),
    sig,
    ...Object.fromEntries(fields)
  }
})

function isCid(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'multihash' in value
}

test('any bytes of a statement are read or refused, and so are its record and its body', () => {
  const records = statements.filter(({ kind }) => kind === 'entry')
  let read = 0
  fc.assert(
    fc.property(alteredBytes([...statements, ...records, ...records, ...records]), bytes => {
      let statement: Statement | undefined
      if (refuses(() => (statement = decodeStatement(bytes) as Statement))) return
      read++
      if (statement?.kind !== 'entry') return
      refuses(() => readRecord(statement as Statement<'entry'>, author))
      refuses(() => openBody(recordSubkey, statement as Statement<'entry'>))
    }),
    { numRuns: NUM_RUNS }
  )
  assert.ok(read > 0)
})

/** The same record with another body, sealed as a member that has the key would seal it. */
function withBody(statement: Statement<'entry'>, text: Uint8Array): Statement<'entry'> {
  const { siv: _, body: __, ...clear } = statement.fields
  const buffer = Buffer.alloc(paddedBodyLength(text.byteLength))
  buffer.set(text)
  const padded = padInPlace(buffer, text.byteLength, buffer.byteLength)
  const { siv, bytes } = seal(recordSubkey, padded, {
    label: 'body',
    clear: clearBytesOf('entry', HLC, GRANT_ID, clear)
  })
  return signStatement('entry', { ...clear, siv, body: bytes }, SIGNING)
}

test('any body that opens is read or refused', () => {
  const inits = [INLINE_RECORD, BLOCK_RECORD, DIRECTORY_RECORD]
  const signed = inits.map(init => signRecord(init, SIGNING))
  const bodies = inits.map(({ body }) => ({
    ...Object.fromEntries(Object.entries(body ?? {}).filter(([, value]) => value !== undefined)),
    props: { a: [1, { b: 'x' }] }
  }))
  let read = 0
  fc.assert(
    fc.property(
      fc.nat(2).chain(i => fc.tuple(fc.constant(signed[i] as Statement<'entry'>), alteredBytes([bodies[i]]))),
      ([statement, text]) => {
        if (text.byteLength > 8000) return
        const forged = withBody(statement, text)
        if (!refuses(() => openBody(recordSubkey, forged))) read++
      }
    ),
    { numRuns: 1000 }
  )
  assert.ok(read > 0)
})

test('any bytes of a CID and any text of a capability are read or refused, and a capability has only one text', () => {
  const cid = nameBlock(digest)
  const change = <T>(parts: readonly T[], part: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
    fc
      .tuple(fc.nat(parts.length), fc.nat(2), part)
      .map(([at, gone, part]) => [...parts.slice(0, at), part, ...parts.slice(at + gone)])
  fc.assert(
    fc.property(change([...cid.bytes], fc.nat(255)), bytes => {
      refuses(() => decodeCid(Uint8Array.from(bytes)))
    })
  )
  const text = formatCapability({ root: cid, key: digest, gateway: 'https://example.org/a?b=c' })
  const texts = fc.oneof(
    change([...text], fc.string({ unit: 'binary', minLength: 0, maxLength: 1 })).map(letters => letters.join('')),
    fc.constantFrom(base32, base36, base58btc).map(base => text.replace(String(cid), cid.toString(base))),
    fc.tuple(fc.constant(text.split('@')[0]), fc.webUrl({ validSchemes: ['https', 'http'] })).map(all => all.join('@')),
    fc.string({ unit: 'binary' })
  )
  fc.assert(
    fc.property(texts, text => {
      refuses(() => assert.equal(formatCapability(parseCapability(text)), text))
    }),
    { numRuns: NUM_RUNS }
  )
})
