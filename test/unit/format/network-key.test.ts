import assert from 'node:assert/strict'
import { sign, verify } from 'node:crypto'
import { test } from 'node:test'
import { FormatError } from '../../../src/format/errors.ts'
import {
  deriveNetwork,
  epochSubkeys,
  formatNetworkKey,
  keyWordsMissing,
  networkKeyWords,
  parseNetworkKey,
  privateKey,
  rawPublicKey
} from '../../../src/format/network-key.ts'
import { fromHex, toHex } from '../../../src/util/bytes.ts'

const key = Buffer.from(Array.from({ length: 32 }, (_, i) => i))

test('a network key is written and read as hex and as words, whatever the case and the spaces', () => {
  assert.deepEqual(Buffer.from(parseNetworkKey(formatNetworkKey(key))), key)
  const words = networkKeyWords(key)
  assert.equal(words.split(' ').length, 24)
  for (const text of [
    words,
    `  ${words.toUpperCase()}\n`,
    words.replaceAll(' ', '\n  '),
    ` ${toHex(key).toUpperCase()}\r\n`
  ])
    assert.deepEqual(Buffer.from(parseNetworkKey(text)), key, text)
})

test('any other text is refused, and the error does not repeat it', () => {
  const words = networkKeyWords(key).split(' ')
  const bad = {
    nothing: '',
    'too few digits': toHex(key).slice(1),
    'too many digits': `${toHex(key)}0`,
    'no digits': 'z'.repeat(64),
    '12 good words': networkKeyWords(key.subarray(0, 16)),
    '23 words': words.slice(1).join(' '),
    'a wrong check sum': [...words.slice(0, -1), words[0]].join(' '),
    'two words the other way round': [words[1], words[0], ...words.slice(2)].join(' '),
    'a word that is none': ['secretword', ...words.slice(1)].join(' ')
  }
  for (const [what, text] of Object.entries(bad)) {
    assert.throws(
      () => parseNetworkKey(text),
      error => error instanceof FormatError && !/secretword|zzz/.test(error.message),
      what
    )
  }
})

test('every derived part depends on the whole key, and all parts differ', () => {
  const one = deriveNetwork(key)
  const again = deriveNetwork(key)
  assert.equal(toHex(one.network), toHex(again.network))
  const parts = [one.network, one.epochKey, one.recovery].map(toHex)
  assert.equal(new Set(parts).size, 3)
  for (let bit = 0; bit < 256; bit += 37) {
    const other = Buffer.from(key)
    other[bit >> 3]! ^= 1 << (bit & 7)
    const { network, epochKey, recovery } = deriveNetwork(other)
    for (const part of [network, epochKey, recovery].map(toHex)) assert.ok(!parts.includes(part))
  }
  for (const short of [0, 16, 31, 33]) assert.throws(() => deriveNetwork(Buffer.alloc(short)), FormatError)
})

test('the root key signs, and its public half is the id of the network', () => {
  const { root, network } = deriveNetwork(key)
  assert.deepEqual(Buffer.from(rawPublicKey(root)), Buffer.from(network))
  const sig = sign(null, key, root)
  assert.ok(verify(null, key, root, sig))
})

test('the two subkeys of an epoch differ', () => {
  const { content, record } = epochSubkeys(key)
  assert.equal(content.byteLength, 32)
  assert.notEqual(toHex(content), toHex(record))
})

test('private keys are those of RFC 8032 and RFC 7748', () => {
  // RFC 8032, section 7.1, test 1.
  const ed25519 = privateKey('ed25519', fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'))
  assert.equal(toHex(rawPublicKey(ed25519)), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
  // RFC 7748, section 5.2: the first iteration, whose scalar and point are both nine.
  const nine = Buffer.alloc(32)
  nine[0] = 9
  const x25519 = privateKey('x25519', nine)
  assert.equal(toHex(rawPublicKey(x25519)), '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079')
})

test('words copied from the screen with their numbers are read', () => {
  const screen = networkKeyWords(key)
    .split(' ')
    .map((word, i) => `${String(i + 1).padStart(2)} ${word}${i % 6 === 5 ? '\n' : '  '}`)
    .join('')
  assert.deepEqual(Buffer.from(parseNetworkKey(screen)), key)
})

test('words that are no network key are told apart: how many, which one, or the order; none is repeated', () => {
  const words = networkKeyWords(key).split(' ')
  const messageOf = (given: readonly string[]): string => {
    try {
      parseNetworkKey(given.join(' '))
      return 'accepted'
    } catch (error) {
      return (error as Error).message
    }
  }
  const [first, second, ...others] = words as [string, string, ...string[]]
  assert.equal(messageOf(words.slice(1)), 'these are 23 words: a network key has 24')
  assert.match(messageOf(words.slice(0, 6)), /^these are 6 words: .* the 6 that a network is known by are no key$/)
  assert.equal(
    messageOf([...words.slice(0, 6), 'secretword', ...words.slice(7)]),
    'word 7 is not in the list of words: check its spelling'
  )
  assert.match(messageOf([second, first, ...others]), /do not belong together: check their order/)
  assert.equal(messageOf(['hunter2']), 'a network key is 64 hex digits or 24 words')
})

test('the words that are still to come are counted without the numbers beside them', () => {
  const words = networkKeyWords(Buffer.alloc(32, 3)).split(' ')
  for (const [text, missing] of [
    ['', 24],
    [' 1 '.concat(words[0] as string), 23],
    [`1. ${words[0]}\n2) ${words[1]}\n`, 22],
    [words.join('\n'), 0],
    [`${words.join(' ')} more`, 0],
    ['ab'.repeat(32), 0]
  ] as const)
    assert.equal(keyWordsMissing(text), missing, text)
})
