import assert from 'node:assert/strict'
import { createCipheriv, createHmac } from 'node:crypto'
import { test } from 'node:test'
import { SealError } from '../../../src/format/errors.ts'
import { blake3 } from '../../../src/format/hash.ts'
import { hmac, open, openBySiv, type SealOptions, seal, secretKey, sivOf } from '../../../src/format/seal.ts'
import { concatBytes, toHex, u32be, utf8 } from '../../../src/util/bytes.ts'

const raw = Buffer.alloc(32, 3)
const subkey = secretKey(raw)
const text = Buffer.from('the text, padded by whoever calls')
const salt = Buffer.alloc(32, 8)
const chunk: SealOptions = { label: 'chunk' }

/** A second implementation of SPEC.md, which uses nothing of src but the hash. */
function sealOfSpec(label: string, padded: Uint8Array, clear: Uint8Array, salt: Uint8Array) {
  const suite = utf8('aes-256-gcm/hmac-sha-256/blake3')
  const list = (...parts: Uint8Array[]): Uint8Array =>
    concatBytes(...parts.flatMap(part => [u32be(part.byteLength), part]))
  const mac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer =>
    createHmac('sha256', key)
      .update(list(...parts))
      .digest()
  const aad = list(utf8(label), suite, clear)
  const siv = mac(raw, utf8(label), suite, salt, blake3.digest(aad), blake3.digest(padded))
  const key = mac(raw, utf8('key'), siv)
  const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12)).setAAD(aad)
  const sealed = Buffer.concat([cipher.update(padded), cipher.final()])
  return { siv, key, bytes: Buffer.concat([mac(key, utf8('commit')), sealed, cipher.getAuthTag()]) }
}

test('the seal computes what SPEC.md says, at any length', () => {
  const lengths = [0, 1, 15, 16, 17, 1000, 64 << 10, (64 << 10) + 1, 200_000]
  for (const length of lengths) {
    const padded = Buffer.alloc(length, 5)
    for (const [label, clear, salted] of [
      ['chunk', '', ''],
      ['node', 'links', ''],
      ['body', 'clear fields', ''],
      ['chunk', '', 'x'.repeat(32)]
    ] as const) {
      const options = { label, clear: utf8(clear), salt: utf8(salted) }
      const { bytes, key, siv } = seal(subkey, padded, options)
      const expected = sealOfSpec(label, padded, utf8(clear), utf8(salted))
      assert.equal(toHex(bytes), toHex(expected.bytes))
      assert.equal(toHex(key), toHex(expected.key))
      assert.equal(toHex(siv), toHex(expected.siv))
      assert.equal(toHex(sivOf(subkey, padded, options)), toHex(expected.siv))
    }
  }
})

test('the same input has the same sealed bytes, and any other input has other bytes and another key', () => {
  const one = seal(subkey, text, chunk)
  assert.equal(toHex(seal(subkey, Buffer.from(text), chunk).bytes), toHex(one.bytes))
  const others = [
    seal(subkey, Buffer.concat([text, Buffer.alloc(1)]), chunk),
    seal(subkey, text, { label: 'node' }),
    seal(subkey, text, { label: 'chunk', clear: Buffer.alloc(1) }),
    seal(subkey, text, { label: 'chunk', salt }),
    seal(secretKey(Buffer.alloc(32, 4)), text, chunk)
  ]
  assert.equal(new Set([one, ...others].map(({ key }) => toHex(key))).size, 6)
  assert.equal(new Set([one, ...others].map(({ siv }) => toHex(siv))).size, 6)
})

test('open returns the text that was sealed', () => {
  for (const options of [chunk, { label: 'node' as const, clear: utf8('links') }]) {
    const { bytes, key, siv } = seal(subkey, text, options)
    assert.deepEqual(Buffer.from(open(key, bytes, options)), text)
    assert.deepEqual(Buffer.from(openBySiv(subkey, siv, bytes, options)), text)
  }
  // The reader need not know the salt, since the key depends on it.
  const salted = seal(subkey, text, { label: 'chunk', salt })
  assert.deepEqual(Buffer.from(open(salted.key, salted.bytes, chunk)), text)
})

test('nothing opens under another key, label or clear text', () => {
  const options: SealOptions = { label: 'node', clear: utf8('links') }
  const { bytes, key, siv } = seal(subkey, text, options)
  assert.throws(() => open(Buffer.alloc(32, 9), bytes, options), SealError)
  assert.throws(() => open(key, bytes, { label: 'chunk', clear: utf8('links') }), SealError)
  assert.throws(() => open(key, bytes, { label: 'node', clear: utf8('link') }), SealError)
  assert.throws(() => open(key, bytes, { label: 'node' }), SealError)
  assert.throws(() => openBySiv(subkey, Buffer.alloc(32), bytes, options), SealError)
  assert.throws(() => openBySiv(secretKey(Buffer.alloc(32, 4)), siv, bytes, options), SealError)
})

test('keys and sivs of another length, and texts too short to be sealed, are refused', () => {
  const { bytes, key, siv } = seal(subkey, text, chunk)
  for (const length of [0, 16, 31, 33]) {
    const wrong = Buffer.alloc(length)
    assert.throws(() => open(wrong, bytes, chunk), SealError)
    assert.throws(() => openBySiv(subkey, wrong, bytes, chunk), SealError)
  }
  for (let length = 0; length < bytes.byteLength; length++) {
    assert.throws(() => open(key, bytes.subarray(0, length), chunk), SealError)
    assert.throws(() => openBySiv(subkey, siv, bytes.subarray(0, length), chunk), SealError)
  }
})

test('a holder of the key cannot pass off another text under a published siv', () => {
  const { siv } = seal(subkey, text, { label: 'body' })
  const { key } = seal(subkey, text, { label: 'body' })
  // A second text under the key of the first: commitment and tag are valid, and the siv is not.
  const other = Buffer.from('quite another text')
  const suite = utf8('aes-256-gcm/hmac-sha-256/blake3')
  const aad = concatBytes(...[utf8('body'), suite, new Uint8Array(0)].flatMap(part => [u32be(part.byteLength), part]))
  const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12)).setAAD(aad)
  const sealed = Buffer.concat([cipher.update(other), cipher.final()])
  const forged = Buffer.concat([hmac(secretKey(key), utf8('commit')), sealed, cipher.getAuthTag()])
  assert.deepEqual(Buffer.from(open(key, forged, { label: 'body' })), other)
  assert.throws(() => openBySiv(subkey, siv, forged, { label: 'body' }), SealError)
})

test('no two lists of parts have the same HMAC', () => {
  const [a, b, ab] = [utf8('a'), utf8('b'), utf8('ab')]
  const all = [
    hmac(subkey, a, b),
    hmac(subkey, ab),
    hmac(subkey, ab, utf8('')),
    hmac(subkey, utf8(''), ab),
    hmac(subkey)
  ]
  assert.equal(new Set(all.map(toHex)).size, all.length)
})
