import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { generateCertificate, verifyPeerCertificate } from '@libp2p/tls/utils'
import { timelessCertificate } from '../../../src/wire/timeless-certificate.ts'

test('a certificate is accepted by the stock module on a machine whose clock is twenty years behind or ahead', async t => {
  const identity = await generateKeyPair('Ed25519')
  // Signatures differ in length, and so do the certificates.
  for (let i = 0; i < 20; i++) {
    const stock = await generateCertificate(identity)
    const { cert, key } = timelessCertificate(stock)
    const made = new X509Certificate(cert)
    assert.equal(key, stock.key)
    assert.ok(made.verify(made.publicKey))
    assert.equal(new Date(made.validFrom).getTime(), 0)
    assert.equal(made.validTo, new X509Certificate(stock.cert).validTo)
    const peer = await verifyPeerCertificate(made.raw)
    assert.ok(peer.equals(peerIdFromPrivateKey(identity)))
  }
  const { cert } = timelessCertificate(await generateCertificate(identity))
  const now = Date.now()
  for (const years of [-20, 20]) {
    t.mock.timers.enable({ apis: ['Date'], now: now + years * 365 * 24 * 3_600_000 })
    const peer = await verifyPeerCertificate(new X509Certificate(cert).raw)
    assert.ok(peer.equals(peerIdFromPrivateKey(identity)), String(years))
    t.mock.timers.reset()
  }
})
