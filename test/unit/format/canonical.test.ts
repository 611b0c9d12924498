import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeCanonical, encodeCanonical } from '../../../src/format/canonical.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import { NESTING_MAX } from '../../../src/format/constants.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { fromHex, toHex } from '../../../src/util/bytes.ts'

test('a map has one encoding, whatever the order of its keys', () => {
  const hex = 'a3' + '616102' + '616303' + '62626201'
  assert.equal(toHex(encodeCanonical({ bb: 1, a: 2, c: 3 })), hex)
  assert.equal(toHex(encodeCanonical({ c: 3, a: 2, bb: 1 })), hex)
  assert.deepEqual({ ...(decodeCanonical(fromHex(hex)) as object) }, { a: 2, c: 3, bb: 1 })
})

const refused: Record<string, string> = {
  'nothing at all': '',
  'keys out of order': 'a262626201616102',
  'a key twice': 'a2616101616102',
  'a long form of a small integer': '1800',
  'an integer as a float': 'fb3ff0000000000000',
  'a half float': 'f93e00',
  'a long form of a length': '5801ff',
  'an indefinite array': '9f01ff',
  'an indefinite string': '7f6161ff',
  'a trailing byte': '0000',
  'a cut end': '8200',
  NaN: 'fb7ff8000000000000',
  infinity: 'fb7ff0000000000000',
  undefined: 'f7',
  'a tag of ours no CID has': 'c100',
  'a key that is no text': 'a10102',
  'text that is not UTF-8': '61ff',
  'a lone surrogate': '63eda080',
  'text that begins with U+FEFF': '64efbbbf61',
  'a key that begins with U+FEFF': 'a163efbbbf00',
  'a map that would be taken for a link': 'a2612f61786562797465736178'
}

for (const [what, hex] of Object.entries(refused)) {
  test(`refused: ${what}`, () => assert.throws(() => decodeCanonical(Buffer.from(hex, 'hex')), FormatError))
}

test('nesting that would overflow the stack is refused with a FormatError', () => {
  const deep = Buffer.alloc(16_000, 0x81)
  deep[deep.byteLength - 1] = 0
  assert.throws(() => decodeCanonical(deep), FormatError)
})

test('lists and maps are read and written when nested up to the bound', () => {
  const nested = (depth: number): Uint8Array => {
    const bytes = Buffer.alloc(depth, 0x81)
    bytes[depth - 1] = 0x80
    return bytes
  }
  assert.equal(toHex(encodeCanonical(decodeCanonical(nested(NESTING_MAX)))), toHex(nested(NESTING_MAX)))
  for (const depth of [NESTING_MAX + 1, 1000, 6000]) {
    assert.throws(() => decodeCanonical(nested(depth)), FormatError, `${depth}`)
    let value: unknown = []
    for (let i = 1; i < depth; i++) value = i % 2 === 0 ? [value] : { value }
    assert.throws(() => encodeCanonical(value), /nested/, `${depth}`)
  }
})

test('a value that could not be read again unchanged is not written', () => {
  const cid = nameBlock(Buffer.from('x'))
  const bad: Record<string, unknown> = {
    'a lone surrogate': 'a\ud800',
    'a lone surrogate in a key': { 'a\udc00': 1 },
    'U+FEFF in front': '\ufeffa',
    'U+FEFF in front of a key': { '\ufeff': 1 },
    'U+FEFF far below': [[{ a: ['\ufeff'] }]],
    'a map that would be taken for a link': { '/': 'x', bytes: 'x' },
    'a map that looks like a link': { '/': cid.bytes, bytes: cid.bytes, version: 1, code: 0x55 }
  }
  for (const [what, value] of Object.entries(bad)) assert.throws(() => encodeCanonical(value), FormatError, what)
  for (const value of ['a\ufeff', '\ufffd', { '/': 'x' }, { '/': null, bytes: null }, { link: cid }])
    assert.equal(toHex(encodeCanonical(decodeCanonical(encodeCanonical(value)))), toHex(encodeCanonical(value)))
})

test('a value that dag-cbor cannot represent is refused when it is encoded', () => {
  for (const value of [undefined, Number.NaN, { a: undefined }, () => 1, Symbol('x'), new Date()])
    assert.throws(() => encodeCanonical(value), FormatError)
})

test('a key called __proto__ is an ordinary key', () => {
  const value = decodeCanonical(fromHex('a1695f5f70726f746f5f5fa1616101')) as object
  assert.deepEqual(Object.keys(value), ['__proto__'])
  assert.equal(({} as { a?: number }).a, undefined)
})
