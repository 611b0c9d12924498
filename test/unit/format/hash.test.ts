import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blake3, contentHash, DIGEST_BYTES, HASHES, sha256 } from '../../../src/format/hash.ts'
import { fromHex, toHex } from '../../../src/util/bytes.ts'

test('the digests are those that FIPS 180-4 publishes for "abc" and BLAKE3 for 0, 1 and 1,025 bytes', () => {
  assert.equal(
    toHex(sha256.digest(Buffer.from('abc'))),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  )
  const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i % 251)
  const known: Record<number, string> = {
    0: 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    1: '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213',
    1025: 'd00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444'
  }
  for (const [length, hex] of Object.entries(known)) assert.equal(toHex(blake3.digest(counting(Number(length)))), hex)
})

test('the hash of a view covers only the bytes of the view', () => {
  const all = fromHex('00616263ff')
  for (const hash of HASHES) {
    assert.equal(toHex(hash.digest(all.subarray(1, 4))), toHex(hash.digest(Buffer.from('abc'))))
    assert.equal(hash.digest(all).byteLength, DIGEST_BYTES)
  }
})

test('the codes are those of the multicodec table', () => {
  assert.deepEqual(
    HASHES.map(({ name, code }) => [name, code]),
    [
      ['blake3', 0x1e],
      ['sha2-256', 0x12]
    ]
  )
  assert.equal(contentHash, blake3)
})
