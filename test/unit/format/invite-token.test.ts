import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { encodeCanonical } from '../../../src/format/canonical.ts'
import { FormatError, InviteAlteredError } from '../../../src/format/errors.ts'
import { sha256 } from '../../../src/format/hash.ts'
import { decodeInviteToken, encodeInviteToken, type InviteToken, inviteOf } from '../../../src/format/invite-token.ts'
import { privateKey, rawPublicKey } from '../../../src/format/network-key.ts'
import { idOf } from '../../../src/format/statement.ts'
import { asBuffer, toHex } from '../../../src/util/bytes.ts'
import { network } from '../../fixtures/keys.ts'
import { SAMPLE_FIELDS, signSample } from '../../fixtures/statements.ts'

const seed = Buffer.alloc(32, 0x5a)
const key = rawPublicKey(privateKey('ed25519', seed))
const invite = signSample('invite', { ...SAMPLE_FIELDS.invite, key })
const good: InviteToken = {
  network: network.network,
  seed,
  statements: [signSample('grant').bytes, invite.bytes],
  addresses: ['/ip4/192.0.2.1/tcp/3000', '/dns4/example.org/tcp/443/tls/ws']
}
const text = encodeInviteToken(good)

/** A token with a checksum that fits, whatever it holds. */
function tokenWith(change: object): string {
  const bytes = encodeCanonical({ ...good, ...change })
  return `dfsinvite1.${asBuffer(bytes).toString('base64url')}.${toHex(sha256.digest(bytes)).slice(0, 8)}`
}

const plain = ({ network, seed, statements, addresses }: InviteToken) => ({
  network: toHex(network),
  seed: toHex(seed),
  statements: statements.map(toHex),
  addresses
})

test('an invite token is written as one line and read back, with white space around it', () => {
  assert.match(text, /^dfsinvite1\.[A-Za-z0-9_-]+\.[0-9a-f]{8}$/)
  for (const given of [text, `${text}\n`, `  ${text}\r\n`, `\ufeff${text}\n\n`])
    assert.deepEqual(plain(decodeInviteToken(given)), plain(good))
  assert.equal(idOf(inviteOf(decodeInviteToken(text))), idOf(invite))
})

test('an ordinary invite token has fewer than 3,000 characters', () => {
  assert.ok(text.length < 3000, String(text.length))
})

test('every character of an invite token that changes is noticed', () => {
  for (let at = 0; at < text.length; at++) {
    for (const other of ['A', '-', '0', '.', '\n', '\u00e9']) {
      if (text[at] === other) continue
      const altered = text.slice(0, at) + other + text.slice(at + 1)
      const isRefusal = (error: unknown) => error instanceof InviteAlteredError || error instanceof FormatError
      assert.throws(() => decodeInviteToken(altered), isRefusal, `${at} ${JSON.stringify(other)}`)
    }
  }
})

test('a token that was cut is reported as altered, and any other text is not an invite at all', () => {
  for (let length = 'dfsinvite1'.length; length < text.length; length++)
    assert.throws(() => decodeInviteToken(text.slice(0, length)), InviteAlteredError, String(length))
  for (const other of ['', 'hello', 'dfscap1.a.b', toHex(seed), 'dfsinvite', 'DFSINVITE1.a.b', text.slice(1)])
    assert.throws(() => decodeInviteToken(other), /FormatError: this text is not an invite/, other)
  assert.throws(() => decodeInviteToken(text.replace('1', '2')), /FormatError: this invite was made by another release/)
})

test('a token whose parts do not fit together is refused although its checksum fits', () => {
  assert.equal(tokenWith({}), text)
  const bad: Record<string, object> = {
    'another seed': { seed: Buffer.alloc(32, 1) },
    'a short seed': { seed: seed.subarray(1) },
    'a short network': { network: network.network.subarray(1) },
    'no statements': { statements: [] },
    'an invite that is not the last': { statements: [...good.statements].reverse() },
    'an invite of another key': { statements: [signSample('invite').bytes] },
    'a statement that is cut': { statements: [invite.bytes.subarray(1)] },
    'a statement that is text': { statements: ['x', invite.bytes] },
    '21 statements': { statements: Array(21).fill(invite.bytes) },
    '17 addresses': { addresses: Array(17).fill('/ip4/192.0.2.1') },
    'an address that is bytes': { addresses: [seed] },
    'an empty address': { addresses: [''] },
    'an address of 257 bytes': { addresses: [`/${'é'.repeat(128)}`] },
    'a field too many': { role: 'admin' },
    'a field that is null': { addresses: null }
  }
  for (const [what, change] of Object.entries(bad))
    assert.throws(() => decodeInviteToken(tokenWith(change)), InviteAlteredError, what)
})

test('a token as large as it may be is read, and a longer text is refused without decoding it', () => {
  const full = { ...good, statements: Array(20).fill(invite.bytes), addresses: Array(16).fill('/'.repeat(256)) }
  assert.equal(decodeInviteToken(encodeInviteToken(full)).statements.length, 20)
  const padding = Buffer.alloc(25_000)
  assert.throws(() => decodeInviteToken(tokenWith({ padding })), InviteAlteredError)
  assert.throws(() => encodeInviteToken({ ...good, statements: [padding, invite.bytes] }), FormatError)
})

test('encodeInviteToken refuses values that could not be read again', () => {
  const bad: Record<string, Partial<InviteToken>> = {
    'another seed': { seed: Buffer.alloc(32, 1) },
    'no statements': { statements: [] },
    'an invite that is not the last': { statements: [...good.statements].reverse() },
    'an address that is no text': { addresses: ['\ud800'] },
    'an empty address': { addresses: [''] }
  }
  for (const [what, change] of Object.entries(bad))
    assert.throws(() => encodeInviteToken({ ...good, ...change }), FormatError, what)
})

test('no error about a token repeats its secret', () => {
  const secrets = [toHex(seed), seed.toString('base64'), seed.toString('base64url'), text.slice(11, 60), inspect(seed)]
  for (const altered of [text.slice(0, -1), tokenWith({ role: 'admin' }), tokenWith({ statements: [] }), text.slice(1)])
    assert.throws(
      () => decodeInviteToken(altered),
      error => secrets.every(secret => !inspect(error, { depth: 9 }).includes(secret))
    )
})
