import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { test } from 'node:test'
import { type AdmitFacts, admitBytes } from '../../../src/format/admit.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { privateKey, rawPublicKey } from '../../../src/format/network-key.ts'
import { verifySignature } from '../../../src/format/statement.ts'
import { toHex } from '../../../src/util/bytes.ts'

const fill = (byte: number, length = 32): Uint8Array => Buffer.alloc(length, byte)
const facts: AdmitFacts = { network: fill(1), invite: fill(2), key: fill(3), x25519: fill(4) }
const FIELDS = Object.keys(facts) as Array<keyof AdmitFacts>

test('a signature that lets one device in fits no other device, invite or network', async () => {
  const invite = privateKey('ed25519', fill(9))
  const key = rawPublicKey(invite)
  const sig = sign(null, admitBytes(facts), invite)
  assert.ok(await verifySignature({ key, data: admitBytes(facts), sig }))
  for (const field of FIELDS)
    assert.equal(await verifySignature({ key, data: admitBytes({ ...facts, [field]: fill(8) }), sig }), false, field)
})

test('the bytes of an admission begin with a label of their own, and each value has its place', () => {
  const bytes = Buffer.from(admitBytes(facts))
  assert.equal(bytes.subarray(0, 12).toString(), 'dfs/admit/1\0')
  assert.deepEqual(
    FIELDS.map((_, i) => toHex(bytes.subarray(12 + 32 * i, 44 + 32 * i))),
    FIELDS.map(field => toHex(facts[field]))
  )
  assert.equal(bytes.byteLength, 12 + 4 * 32)
})

test('a value of another length is refused in an admission', () => {
  for (const field of FIELDS)
    for (const length of [0, 31, 33])
      assert.throws(() => admitBytes({ ...facts, [field]: fill(7, length) }), FormatError, field)
})
