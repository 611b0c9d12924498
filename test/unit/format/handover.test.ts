import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HANDOVER_BOX_BYTES } from '../../../src/format/constants.ts'
import { FormatError, SealError } from '../../../src/format/errors.ts'
import { type HandoverFacts, openHandover, sealHandover } from '../../../src/format/handover.ts'
import { deriveNetwork, privateKey, rawPublicKey } from '../../../src/format/network-key.ts'
import { toHex } from '../../../src/util/bytes.ts'

const fill = (byte: number, length = 32): Uint8Array => Buffer.alloc(length, byte)
const facts: HandoverFacts = { network: fill(1), epoch: fill(2), recipient: fill(3) }
const FIELDS = Object.keys(facts) as Array<keyof HandoverFacts>
const own = privateKey('x25519', fill(4))
const epochKey = fill(5)
const toSeal = { ...facts, x25519: rawPublicKey(own), epochKey }
const toOpen = { ...facts, x25519: own }
const box = sealHandover(toSeal, fill(6))

test('the recipient of a handover gets the key of the epoch', () => {
  assert.equal(box.byteLength, HANDOVER_BOX_BYTES)
  assert.equal(toHex(openHandover(toOpen, box)), toHex(epochKey))
  assert.ok(!toHex(box).includes(toHex(epochKey)))
})

test('a handover opens for no other recipient, epoch or network, and with no other key', () => {
  for (const field of FIELDS) assert.throws(() => openHandover({ ...toOpen, [field]: fill(8) }, box), SealError, field)
  assert.throws(() => openHandover({ ...facts, x25519: privateKey('x25519', fill(8)) }, box), SealError)
})

test('every flipped bit of a handover is noticed', () => {
  for (let bit = 0; bit < box.byteLength * 8; bit++) {
    const altered = Buffer.from(box)
    altered[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => openHandover(toOpen, altered), SealError, `bit ${bit}`)
  }
})

test('a handover of another length is refused', () => {
  for (const length of [0, 16, 32, 79, 81, 160]) {
    const other = Buffer.alloc(length)
    other.set(box.subarray(0, Math.min(length, box.byteLength)))
    assert.throws(() => openHandover(toOpen, other), SealError, String(length))
  }
})

test('each handover has an ephemeral key of its own, so equal keys never make equal boxes', () => {
  const other = sealHandover(toSeal, fill(7))
  for (const [start, end] of [
    [0, 32],
    [32, 64],
    [64, 80]
  ])
    assert.notEqual(toHex(other.subarray(start, end)), toHex(box.subarray(start, end)))
})

test('nothing is sealed for a weak key, and no box with such a key opens', () => {
  // The points of small order: whatever the other key is, the shared secret is zero (RFC 7748, section 6.1).
  const weak = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'
  ].map(hex => Buffer.from(hex, 'hex'))
  for (const x25519 of weak) {
    assert.throws(() => sealHandover({ ...toSeal, x25519 }, fill(6)), FormatError, toHex(x25519))
    assert.throws(() => openHandover(toOpen, Buffer.concat([x25519, box.subarray(32)])), SealError, toHex(x25519))
  }
})

test('a value of another length is never sealed', () => {
  for (const length of [0, 31, 33]) {
    for (const field of Object.keys(toSeal))
      assert.throws(() => sealHandover({ ...toSeal, [field]: fill(9, length) }, fill(6)), FormatError, field)
    assert.throws(() => sealHandover(toSeal, fill(9, length)), FormatError)
  }
})

test('a holder of the network key opens a handover to the recovery key', () => {
  const { network, recovery, recoveryKey } = deriveNetwork(fill(1))
  const later = { network, epoch: fill(2), recipient: recovery }
  const handed = sealHandover({ ...later, x25519: recovery, epochKey }, fill(6))
  assert.equal(toHex(openHandover({ ...later, x25519: recoveryKey }, handed)), toHex(epochKey))
})
