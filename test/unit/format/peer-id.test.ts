import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { FormatError } from '../../../src/format/errors.ts'
import { peerIdOf, publicKeyOf } from '../../../src/format/peer-id.ts'

test('a peer id is the one that libp2p has for the same key', async () => {
  for (let i = 0; i < 20; i++) {
    const key = await generateKeyPair('Ed25519')
    const peerId = peerIdFromPrivateKey(key).toString()
    assert.equal(peerIdOf(key.publicKey.raw), peerId)
    assert.deepEqual(Buffer.from(publicKeyOf(peerId)), Buffer.from(key.publicKey.raw))
  }
})

test('the least and the greatest key have peer ids of the same length', () => {
  for (const byte of [0, 0xff]) {
    const key = Buffer.alloc(32, byte)
    assert.deepEqual(Buffer.from(publicKeyOf(peerIdOf(key))), key)
  }
})

test('peer ids of other types of keys, and other texts, are refused', async () => {
  const secp = peerIdFromPrivateKey(await generateKeyPair('secp256k1')).toString()
  const good = peerIdOf(Buffer.alloc(32, 5))
  const bad = ['', 'x', secp, 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', good.slice(1), `${good}1`, `1${good}`]
  for (const text of [...bad, good.replace(/.$/, '0'), `2${good.slice(1)}`, `z${good}`])
    assert.throws(() => publicKeyOf(text), FormatError, text)
  // Decoding base58 takes time in the square of its length: this would take minutes.
  assert.throws(() => publicKeyOf('2'.repeat(2_000_000)), FormatError)
})
