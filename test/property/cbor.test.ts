import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dagCbor from '@ipld/dag-cbor'
import fc from 'fast-check'
import * as Digest from 'multiformats/hashes/digest'
import { decodeCanonical, encodeCanonical } from '../../src/format/canonical.ts'
import { decodeCbor, decodePlain, encodeCbor, encodePlain } from '../../src/format/cbor.ts'
import { CID } from '../../src/format/cid.ts'

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('\ufeffa', 'a\ufeff', 'a\ud800', 'ü'))
const key = fc.oneof(fc.string({ maxLength: 30 }), fc.constantFrom('/', 'bytes', '', '__proto__', '1', 'ü', '\ufeff'))
const number = fc.oneof(
  fc.maxSafeInteger(),
  fc.double(),
  fc.integer(),
  fc.constantFrom(-0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53, -(2 ** 53), -24, -25, -257)
)
const bytes = fc.uint8Array({ maxLength: 300 })
/** Those that our codec knows, and longer and shorter ones. */
const link = fc
  .tuple(
    fc.constantFrom(0x55, 0x71, 0x7f, 0x80, 0x0129),
    fc.constantFrom(0x12, 0x1e, 0x7f, 0x80),
    fc.oneof(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 40 }))
  )
  .map(([codec, hash, digest]) => CID.createV1(codec, Digest.create(hash, digest)))
const { value: anything } = fc.letrec(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, false, undefined, Number.NaN, 5n),
    number,
    text,
    bytes,
    link,
    fc.array(tie('value'), { maxLength: 30 }),
    fc.dictionary(key, tie('value'), { maxKeys: 30 })
  )
}))

/** Returns what `work` returns, or that it threw. */
function outcomeOf(work: () => unknown): unknown {
  try {
    return { value: work() }
  } catch {
    return 'refused'
  }
}

/** The rule of canonical bytes: what they decode to has no other encoding. */
function decodeByLibrary(bytes: Uint8Array): unknown {
  const value = dagCbor.decode(bytes)
  assert.deepEqual(Buffer.from(dagCbor.encode(value)), Buffer.from(bytes))
  return value
}

test('any value has the encoding that the library has for it, and is refused if the library refuses it', () => {
  fc.assert(
    fc.property(anything, value => {
      const ours = outcomeOf(() => Uint8Array.from(encodeCbor(value)))
      assert.deepEqual(
        ours,
        outcomeOf(() => Uint8Array.from(dagCbor.encode(value)))
      )
      const plain = encodePlain(value)
      if (plain === undefined) return
      assert.deepEqual(decodePlain(plain), dagCbor.decode(plain))
      assert.deepEqual(encodeCanonical(value), plain)
    })
  )
})

test('bytes are decoded as the library decodes them, and only canonical ones without it', () => {
  const near = fc.tuple(anything, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 })).map(([value, flips]) => {
    const encoded = outcomeOf(() => Buffer.from(dagCbor.encode(value))) as { value: Buffer }
    const changed = encoded.value ?? Buffer.alloc(1)
    for (const [at, byte] of flips) changed[at % changed.byteLength] = byte
    return changed
  })
  fc.assert(
    fc.property(fc.oneof(near, bytes), given => {
      assert.deepEqual(
        outcomeOf(() => decodeCbor(given)),
        outcomeOf(() => dagCbor.decode(given))
      )
      const plain = decodePlain(given)
      if (plain === undefined) return
      assert.deepEqual(decodeByLibrary(given), plain)
      assert.deepEqual(decodeCanonical(given), plain)
      assert.deepEqual(encodePlain(plain), Uint8Array.from(given))
    })
  )
})
