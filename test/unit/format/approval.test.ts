import assert from 'node:assert/strict'
import { test } from 'node:test'
import { approvalCode, type CodeFacts, commitOf, networkWords, readCode } from '../../../src/format/approval.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { networkKeyWords } from '../../../src/format/network-key.ts'
import { toHex } from '../../../src/util/bytes.ts'

const fill = (byte: number, length = 32): Uint8Array => Buffer.alloc(length, byte)
const facts: CodeFacts = {
  dialler: { key: fill(1), nonce: fill(2) },
  listener: { key: fill(3), nonce: fill(4) },
  network: fill(5)
}

test('a code changes with either nonce, either key, the network, and the direction of the dial', () => {
  const { dialler, listener, network } = facts
  const codes = [
    facts,
    { ...facts, dialler: { ...dialler, nonce: fill(6) } },
    { ...facts, dialler: { ...dialler, key: fill(6) } },
    { ...facts, listener: { ...listener, nonce: fill(6) } },
    { ...facts, listener: { ...listener, key: fill(6) } },
    { ...facts, network: fill(6) },
    { dialler: listener, listener: dialler, network },
    { ...facts, dialler: { key: dialler.nonce, nonce: dialler.key } }
  ].map(approvalCode)
  assert.equal(new Set(codes).size, codes.length)
  for (const code of codes) assert.equal(readCode(code), code)
})

test('a value of another length is refused for a code, a commitment and words', () => {
  // Otherwise the end of one value could become the beginning of the next, with the same digest.
  const { dialler, listener } = facts
  for (const length of [0, 31, 33]) {
    const other = fill(7, length)
    for (const changed of [
      { ...facts, dialler: { ...dialler, nonce: other } },
      { ...facts, dialler: { ...dialler, key: other } },
      { ...facts, listener: { ...listener, nonce: other } },
      { ...facts, listener: { ...listener, key: other } },
      { ...facts, network: other }
    ])
      assert.throws(() => approvalCode(changed), FormatError)
    assert.throws(() => commitOf(other), FormatError)
    assert.throws(() => networkWords(other), FormatError)
  }
})

test('a commitment differs from the nonce, and for each nonce', () => {
  assert.notEqual(toHex(commitOf(fill(1))), toHex(fill(1)))
  assert.notEqual(toHex(commitOf(fill(1))), toHex(commitOf(fill(2))))
})

test('all digits of a code occur about equally often', () => {
  const counts = new Map<string, number>()
  const codes = 4000
  for (let i = 0; i < codes; i++) {
    const nonce = Buffer.alloc(32)
    nonce.writeUInt32BE(i)
    for (const digit of approvalCode({ ...facts, dialler: { ...facts.dialler, nonce } }))
      counts.set(digit, (counts.get(digit) ?? 0) + 1)
  }
  assert.equal([...counts.keys()].sort().join(''), '0123456789ABCDEFGHJKMNPQRSTVWXYZ')
  // The codes are the same in every run. 750 of each digit are expected, with a standard deviation of 27.
  for (const [digit, count] of counts) assert.ok(count > 600 && count < 900, `${digit} ${count}`)
})

test('a code is read whatever its case, with hyphens and blanks, and with letters that look like digits', () => {
  for (const text of ['K7Q2Z0', 'k7q2z0', 'K7Q-2Z0', ' k7 q2 zo\r\n', '--K7Q2ZO--', '\tk7q2zo'])
    assert.equal(readCode(text), 'K7Q2Z0', JSON.stringify(text))
  assert.equal(readCode('iIlL1o'), '111110')
})

test('no other text is read as a code', () => {
  const others = ['', '------', 'K7Q2Z', 'K7Q2Z00', 'K7Q2ZU', 'k7q2zu', 'K7Q2Z.', 'K7Q2Z_', 'K7Q2Z\0', 'K7Q+2Z0']
  // Letters that become others when their case changes, digits of other scripts, and hyphens that are typographic.
  others.push('K7Q2Z\u017f', 'K7Q2Z\u0131', 'K7Q2Z\u212a', 'K7Q2Z\u0660', 'K7Q2Z\uff10', 'K7Q\u20112Z0', 'K7Q\u20132Z0')
  for (const text of others) assert.equal(readCode(text), undefined, JSON.stringify(text))
})

test('the words of a network are six words of the list in which network keys are written', () => {
  const words = networkWords(fill(5)).split(' ')
  assert.equal(words.length, 6)
  for (const word of words) assert.match(word, /^[a-z]{3,8}$/)
  // They come from the id and not from the key: they are shown to strangers.
  assert.ok(!networkKeyWords(fill(5)).startsWith(words.join(' ')))
  assert.notEqual(networkWords(fill(5)), networkWords(fill(6)))
})
