import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { DAG_CBOR, decodeCid, nameBlock, parseCid, RAW, verifyBlock } from '../../src/format/cid.ts'
import { ForeignCidError } from '../../src/format/errors.ts'
import { blake3, sha256 } from '../../src/format/hash.ts'

test('a name verifies its own bytes and no others, read from bytes and from text', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(RAW, DAG_CBOR),
      fc.constantFrom(blake3, sha256),
      (bytes, others, codec, hash) => {
        const cid = nameBlock(bytes, codec, hash)
        assert.ok(decodeCid(cid.bytes).equals(cid))
        assert.ok(parseCid(cid.toString()).equals(cid))
        assert.ok(verifyBlock(cid, bytes))
        assert.equal(verifyBlock(cid, others), Buffer.from(others).equals(bytes))
      }
    )
  )
})

test('any bytes are either the canonical bytes of a CID of this network, or refused', () => {
  const some = nameBlock(Buffer.from('x')).bytes
  const near = fc.tuple(fc.nat(some.byteLength - 1), fc.nat(255), fc.nat(8)).map(([at, byte, insert]) => {
    const altered = [...some]
    if (insert === 0) altered.splice(at, 0, byte)
    else if (insert === 1) altered.splice(at, 1)
    else altered[at] = byte
    return Uint8Array.from(altered)
  })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), near), bytes => {
      try {
        const cid = decodeCid(bytes)
        assert.deepEqual(Buffer.from(CID.createV1(cid.code, cid.multihash).bytes), Buffer.from(bytes))
        assert.equal(bytes.byteLength, 36)
        assert.ok([RAW, DAG_CBOR].includes(cid.code))
        assert.ok([blake3.code, sha256.code].includes(cid.multihash.code))
      } catch (error) {
        assert.ok(error instanceof ForeignCidError, String(error))
      }
    }),
    { numRuns: 3000 }
  )
})
