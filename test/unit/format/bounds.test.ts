import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeCanonical } from '../../../src/format/canonical.ts'
import * as bounds from '../../../src/format/constants.ts'
import { type EntryBody, signRecord } from '../../../src/format/entry.ts'
import { FormatError } from '../../../src/format/errors.ts'
import type { Kind } from '../../../src/format/kinds.ts'
import { decodeStatement } from '../../../src/format/statement.ts'
import { INLINE_BODY, INLINE_RECORD, SAMPLE_FIELDS, SIGNING, signSample } from '../../fixtures/statements.ts'

type Numbers = Record<string, unknown>

/** The numbers of all kinds, each with its bounds and a function that puts a value in its place. */
const NUMBERS: Array<[kind: Kind, name: string, min: number, max: number, set: (value: number) => Numbers]> = [
  ['grant', 'capacityMax', 0, bounds.CAPACITY_BYTES_MAX, capacityMax => ({ capacityMax })],
  ['invite', 'uses', 1, bounds.USES_MAX, uses => ({ uses })],
  ['settings', 'replicas', 0, bounds.REPLICAS_MAX, replicas => ({ replicas })],
  ['settings', 'ack', 0, bounds.REPLICAS_MAX, ack => ({ ack })],
  ['settings', 'outAfter', 1, bounds.OUT_AFTER_MS_MAX, outAfter => ({ outAfter })],
  ['settings', 'versionDays', 0, bounds.VERSION_DAYS_MAX, versionDays => ({ versionDays })],
  ['settings', 'quotas.statements', 0, bounds.QUOTA_STATEMENTS_MAX, statements => ({ quotas: { statements } })],
  ['settings', 'quotas.nodeBytes', 0, bounds.CAPACITY_BYTES_MAX, nodeBytes => ({ quotas: { nodeBytes } })],
  ['status', 'weight', 0, bounds.CAPACITY_BYTES_MAX, weight => ({ weight })],
  ['status', 'outAfter', 1, bounds.OUT_AFTER_MS_MAX, outAfter => ({ outAfter })],
  ['entry', 'replicas', 0, bounds.REPLICAS_MAX, replicas => ({ replicas })]
]

/** The bytes of a statement with fields that our encoders never write. */
function bytesWith(kind: Kind, fields: Numbers): Uint8Array {
  const { hlc, grant, sig } = signSample(kind)
  const rest = { kind, v: 1, hlc: Buffer.from(hlc.toString(16).padStart(16, '0'), 'hex'), sig }
  return encodeCanonical({ ...SAMPLE_FIELDS[kind], ...fields, ...rest, ...(grant === null ? {} : { grant }) })
}

test('each number in a statement is refused outside of its bounds, when it is decoded and when it is signed', () => {
  for (const [kind, name, min, max, set] of NUMBERS) {
    for (const value of [min, max]) {
      signSample(kind, { ...SAMPLE_FIELDS[kind], ...set(value) } as never)
      assert.ok(decodeStatement(bytesWith(kind, set(value))), `${kind}.${name} ${value}`)
    }
    for (const value of [min - 1, max + 1, 2 ** 32, 1.5, Number.MAX_SAFE_INTEGER + 1].filter(
      v => v < min || v > max || v % 1 !== 0
    )) {
      assert.throws(() => signSample(kind, { ...SAMPLE_FIELDS[kind], ...set(value) } as never), FormatError, name)
      assert.throws(() => decodeStatement(bytesWith(kind, set(value))), FormatError, `${kind}.${name} ${value}`)
    }
  }
})

test('copies are a number of one byte, of which 0 stands for every member', () => {
  assert.equal(bounds.REPLICAS_MAX, 255)
})

test('no kind of statement has a number without a bound', () => {
  const paths = (value: unknown, path: string): string[] => {
    if (typeof value === 'number') return [path]
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || Array.isArray(value)) return []
    return Object.entries(value).flatMap(([key, inner]) => paths(inner, path === '' ? key : `${path}.${key}`))
  }
  // `uses` is null in the sample.
  const found = [
    ...Object.entries(SAMPLE_FIELDS).flatMap(([kind, fields]) => paths(fields, '').map(path => `${kind}.${path}`)),
    'invite.uses'
  ]
  // The link of a revocation is an object with numbers of its own.
  const known = NUMBERS.map(([kind, name]) => `${kind}.${name}`)
  assert.deepEqual(found.filter(path => !/\.(list|root)\./.test(path)).sort(), known.sort())
})

test('each number in the body of a record is refused outside of its bounds', () => {
  const sign = (body: Partial<EntryBody>) =>
    signRecord({ ...INLINE_RECORD, body: { ...INLINE_BODY, ...body } }, SIGNING)
  for (const good of [{ mtime: bounds.TIME_MS_MAX }, { mtime: -bounds.TIME_MS_MAX }, { mode: bounds.MODE_MAX }])
    sign(good)
  for (const bad of [
    { mtime: bounds.TIME_MS_MAX + 1 },
    { mtime: -bounds.TIME_MS_MAX - 1 },
    { mtime: 0.5 },
    { mode: bounds.MODE_MAX + 1 },
    { mode: -1 },
    { size: -1 },
    { size: bounds.FILE_BYTES_MAX + 1 }
  ])
    assert.throws(() => sign(bad), FormatError, JSON.stringify(bad))
  assert.ok(!Number.isNaN(new Date(bounds.TIME_MS_MAX).getTime()))
})
