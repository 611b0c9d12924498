import { createPrivateKey, sign, X509Certificate } from 'node:crypto'
import type { PrivateKey } from '@libp2p/interface'
import { generateCertificate } from '@libp2p/tls/utils'

/** A certificate and its key, both as PEM. */
export type Certificate = Awaited<ReturnType<typeof generateCertificate>>

/** 1970-01-01, as the `UTCTime` of X.509. */
const EPOCH = Buffer.from('700101000000Z', 'latin1')
const UTC_TIME = 0x17
const SEQUENCE = 0x30
const BIT_STRING = 0x03
/** In a certificate's body the validity follows the version, the serial number, the algorithm and the issuer. */
const FIELDS_BEFORE_VALIDITY = 4

/**
 * Makes the certificate of a libp2p identity, which is valid from 1970 on. One from `@libp2p/tls` is valid from an hour
 * before now on. A peer whose clock is further behind would end the handshake, and nobody could tell its owner that the
 * clock is wrong. The certificate says only that its key belongs to this peer, and that does not depend on
 * time.
 */
export async function lastingCertificate(identity: PrivateKey): Promise<Certificate> {
  const { cert, key } = await generateCertificate(identity)
  const [body, algorithm] = partsOf(new X509Certificate(cert).raw) as [Buffer, Buffer]
  const validity = partsOf(body)[FIELDS_BEFORE_VALIDITY] as Buffer
  const [notBefore] = partsOf(validity) as [Buffer]
  if (notBefore[0] !== UTC_TIME || notBefore.byteLength !== 2 + EPOCH.byteLength)
    throw new RangeError('the start of a certificate is not where it is expected')
  // This is a view of the certificate's own bytes.
  contentOf(notBefore).set(EPOCH)
  const signature = sign('sha256', body, createPrivateKey(key))
  // A bit string begins with the number of its unused bits.
  const signed = Buffer.concat([body, algorithm, encode(BIT_STRING, Buffer.concat([Buffer.of(0), signature]))])
  const pem = encode(SEQUENCE, signed)
    .toString('base64')
    .replaceAll(/.{1,64}/g, '$&\n')
  return { cert: `-----BEGIN CERTIFICATE-----\n${pem}-----END CERTIFICATE-----\n`, key }
}

/** Returns the elements inside a DER element, each whole. They are views. */
function partsOf(element: Buffer): Buffer[] {
  const content = contentOf(element)
  const parts: Buffer[] = []
  for (let offset = 0; offset < content.byteLength; ) {
    const { start, length } = headOf(content.subarray(offset))
    parts.push(content.subarray(offset, offset + start + length))
    offset += start + length
  }
  return parts
}

function contentOf(element: Buffer): Buffer {
  const { start, length } = headOf(element)
  return element.subarray(start, start + length)
}

/** Reads the tag and the length at the start of a DER element: where its content starts, and how long it is. */
function headOf(element: Buffer): { start: number; length: number } {
  const first = element.readUInt8(1)
  // The length itself, or how many bytes it takes.
  if (first < 0x80) return { start: 2, length: first }
  const lengthBytes = first & 0x7f
  return { start: 2 + lengthBytes, length: element.readUIntBE(2, lengthBytes) }
}

function encode(tag: number, content: Buffer): Buffer {
  const { byteLength } = content
  if (byteLength < 0x80) return Buffer.concat([Buffer.of(tag, byteLength), content])
  return Buffer.concat([Buffer.of(tag, 0x82, byteLength >> 8, byteLength & 0xff), content])
}
