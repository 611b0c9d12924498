import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { verifyPeerCertificate } from '@libp2p/tls/utils'
import { lastingCertificate } from '../../../src/wire/certificate.ts'

test('a certificate proves its peer id, and a peer whose clock is years behind accepts it', async t => {
  // The lengths of the numbers in a certificate vary from one to the next.
  for (let i = 0; i < 20; i++) {
    const identity = await generateKeyPair('Ed25519')
    const { cert, key } = await lastingCertificate(identity)
    const parsed = new X509Certificate(cert)
    assert.equal(parsed.verify(parsed.publicKey), true)
    assert.equal(parsed.checkPrivateKey(createPrivateKey(key)), true)
    assert.equal(new Date(parsed.validFrom).getTime(), 0)
    assert.ok(new Date(parsed.validTo).getTime() > Date.now())
    t.mock.timers.enable({ apis: ['Date'], now: Date.parse('2001-01-01') })
    const peer = await verifyPeerCertificate(parsed.raw)
    t.mock.timers.reset()
    assert.ok(peer.equals(peerIdFromPrivateKey(identity)))
  }
})
