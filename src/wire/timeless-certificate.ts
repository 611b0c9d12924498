import { createPrivateKey, sign, X509Certificate } from 'node:crypto'
import type { generateCertificate } from '@libp2p/tls/utils'

type Certificate = Awaited<ReturnType<typeof generateCertificate>>

/** The tags of DER (X.690) that occur in a certificate (RFC 5280, section 4.1). */
const SEQUENCE = 0x30
const BIT_STRING = 0x03
/** The tag, the length, and `YYMMDDHHMMSSZ`; years from 50 on are of the 20th century. */
const UTC_TIME = /\x17\x0d\d{12}Z/
const EPOCH = '700101000000Z'

/**
 * Returns the same certificate, valid from 1970 on. libp2p dates a certificate an hour back, so a machine whose clock is
 * a day behind the other's refuses the connection, and nobody learns why. The dates protect nothing: the certificate is
 * self-signed, is made anew at each start, and only says which peer id a key belongs to. With this one the two connect,
 * compare their clocks, and tell their owners.
 */
export function timelessCertificate({ cert, key }: Certificate): Certificate {
  const [body, algorithm] = parts(new X509Certificate(cert).raw) as [Buffer, Buffer]
  const dated = Buffer.from(body)
  // The first date is the one from which it is valid.
  const from = dated.toString('latin1').search(UTC_TIME)
  if (from === -1) throw new RangeError('a certificate has no date that can be replaced')
  dated.write(EPOCH, from + 2, 'latin1')
  const signature = sign('sha256', dated, createPrivateKey(key))
  const der = element(
    SEQUENCE,
    Buffer.concat([dated, algorithm, element(BIT_STRING, Buffer.concat([Buffer.of(0), signature]))])
  )
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return { key, cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n` }
}

/** Returns the elements inside a DER element, each with its tag and length. */
function parts(der: Buffer): Buffer[] {
  const found: Buffer[] = []
  let offset = headerOf(der).header
  while (offset < der.byteLength) {
    const { header, content } = headerOf(der.subarray(offset))
    found.push(der.subarray(offset, offset + header + content))
    offset += header + content
  }
  return found
}

/** Returns the number of bytes of an element's tag and length, and of its content. */
function headerOf(der: Buffer): { header: number; content: number } {
  const first = der.readUInt8(1)
  if (first < 0x80) return { header: 2, content: first }
  const bytes = first & 0x7f
  return { header: 2 + bytes, content: der.readUIntBE(2, bytes) }
}

function element(tag: number, content: Buffer): Buffer {
  const { byteLength } = content
  if (byteLength < 0x80) return Buffer.concat([Buffer.of(tag, byteLength), content])
  if (byteLength < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, byteLength), content])
  return Buffer.concat([Buffer.of(tag, 0x82, byteLength >> 8, byteLength & 0xff), content])
}
