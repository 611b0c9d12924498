import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { approvalCode, readCode } from '../../src/format/approval.ts'
import { encodeCanonical } from '../../src/format/canonical.ts'
import { FormatError, InviteAlteredError, SealError } from '../../src/format/errors.ts'
import { openHandover, sealHandover } from '../../src/format/handover.ts'
import { sha256 } from '../../src/format/hash.ts'
import { decodeInviteToken, encodeInviteToken, type InviteToken } from '../../src/format/invite-token.ts'
import { privateKey, rawPublicKey } from '../../src/format/network-key.ts'
import { signStatement } from '../../src/format/statement.ts'
import { asBuffer, toHex } from '../../src/util/bytes.ts'
import { GRANT_ID, HLC, SAMPLE_FIELDS, sampleStatements } from '../fixtures/statements.ts'

/** What is written is read back, and whatever else is given is refused as one of the errors of the formats. */

const NUM_RUNS = 500
const id = fc.uint8Array({ minLength: 32, maxLength: 32 })
const others = sampleStatements().map(({ bytes }) => bytes)

const tokens: fc.Arbitrary<InviteToken> = fc
  .record({
    network: id,
    seed: id,
    rest: fc.subarray(others),
    addresses: fc.array(fc.string({ minLength: 1, maxLength: 256 }), { maxLength: 16 })
  })
  .map(({ network, seed, rest, addresses }) => {
    const fields = { ...SAMPLE_FIELDS.invite, key: rawPublicKey(privateKey('ed25519', seed)) }
    const own = signStatement('invite', fields, {
      network,
      key: privateKey('ed25519', Buffer.alloc(32, 2)),
      grant: GRANT_ID,
      hlc: HLC
    })
    return { network, seed, statements: [...rest, own.bytes], addresses }
  })

function refuses(read: () => unknown): boolean {
  try {
    read()
    return false
  } catch (error) {
    assert.ok(
      error instanceof FormatError || error instanceof InviteAlteredError || error instanceof SealError,
      String((error as Error).stack)
    )
    return true
  }
}

test('every invite token is read as it was written', () => {
  fc.assert(
    fc.property(tokens, token => {
      const read = decodeInviteToken(`${encodeInviteToken(token)}\n`)
      assert.deepEqual(read.addresses, token.addresses)
      assert.deepEqual(
        [read.network, read.seed, ...read.statements].map(toHex),
        [token.network, token.seed, ...token.statements].map(toHex)
      )
    }),
    { numRuns: NUM_RUNS }
  )
})

test('a token in which one character was changed, removed or repeated is refused', () => {
  fc.assert(
    fc.property(
      tokens,
      fc.nat(),
      fc.constantFrom('change', 'remove', 'repeat'),
      fc.constantFrom('A', '-', '0', '.', '=', '\n', '\u00e9'),
      (token, n, how, other) => {
        const text = encodeInviteToken(token)
        const at = n % text.length
        const put = how === 'remove' ? '' : how === 'repeat' ? `${text[at]}${text[at]}` : other
        const altered = text.slice(0, at) + put + text.slice(at + 1)
        assert.equal(
          refuses(() => decodeInviteToken(altered)),
          altered.trim() !== text
        )
      }
    ),
    { numRuns: NUM_RUNS }
  )
})

test('any text, and any value under a checksum that fits, is read or refused without a crash', () => {
  const values = fc.oneof(
    fc.anything(),
    fc.record({ network: id, seed: id, statements: fc.anything(), addresses: fc.anything() })
  )
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), values, (text, value) => {
      for (const given of [text, `dfsinvite1.${text}`, `dfsinvite1.${text}.${text}`])
        assert.ok(refuses(() => decodeInviteToken(given)))
      let bytes: Uint8Array
      try {
        bytes = encodeCanonical(value)
      } catch {
        // dag-cbor cannot hold this value.
        return
      }
      const body = asBuffer(bytes).toString('base64url')
      assert.ok(refuses(() => decodeInviteToken(`dfsinvite1.${body}.${toHex(sha256.digest(bytes)).slice(0, 8)}`)))
    }),
    { numRuns: NUM_RUNS }
  )
})

test('every code is read in any case and with any hyphens, and other text never becomes a code by chance', () => {
  fc.assert(
    fc.property(
      id,
      id,
      id,
      fc.array(fc.constantFrom('-', ' ', ''), { minLength: 6, maxLength: 6 }),
      (key, nonce, network, gaps) => {
        const code = approvalCode({ dialler: { key, nonce }, listener: { key: nonce, nonce: key }, network })
        const typed = [...code].map((digit, i) => digit + gaps[i]).join('')
        assert.equal(readCode(typed), code)
        assert.equal(readCode(typed.toLowerCase()), code)
      }
    ),
    { numRuns: NUM_RUNS }
  )
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      const code = readCode(text)
      const bare = text.replace(/[-\s]/g, '')
      assert.equal(code !== undefined, /^[0-9A-TV-Za-tv-z]{6}$/.test(bare), JSON.stringify(text))
    }),
    { numRuns: NUM_RUNS }
  )
})

test('a handover opens for its recipient alone, and any other bytes are refused', () => {
  fc.assert(
    fc.property(
      id,
      id,
      id,
      id,
      id,
      fc.uint8Array({ maxLength: 90 }),
      (seed, ephemeral, epoch, recipient, epochKey, noise) => {
        const facts = { network: recipient, epoch, recipient }
        const own = privateKey('x25519', seed)
        const box = sealHandover({ ...facts, x25519: rawPublicKey(own), epochKey }, ephemeral)
        assert.equal(toHex(openHandover({ ...facts, x25519: own }, box)), toHex(epochKey))
        const other = privateKey('x25519', sha256.digest(seed))
        assert.ok(refuses(() => openHandover({ ...facts, x25519: other }, box)))
        assert.ok(refuses(() => openHandover({ ...facts, x25519: own }, noise)))
      }
    ),
    { numRuns: 200 }
  )
})
