import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dagJson from '@ipld/dag-json'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import {
  blockKey,
  checkCid,
  DAG_CBOR,
  decodeCid,
  isNode,
  nameBlock,
  parseCid,
  RAW,
  verifyBlock
} from '../../../src/format/cid.ts'
import { ForeignCidError, FormatError } from '../../../src/format/errors.ts'
import { sha256 } from '../../../src/format/hash.ts'
import { concatBytes } from '../../../src/util/bytes.ts'

const bytes = Buffer.from('sealed bytes')
const digest = Buffer.alloc(32, 7)

test('a block is named by codec and hash, and known by its multihash', () => {
  const chunk = nameBlock(bytes)
  const node = nameBlock(bytes, DAG_CBOR)
  assert.equal(chunk.version, 1)
  assert.ok(!isNode(chunk) && isNode(node))
  assert.ok(!chunk.equals(node))
  assert.equal(blockKey(chunk), blockKey(node))
  assert.match(blockKey(chunk), /^1e20[0-9a-f]{64}$/)
})

test('bytes are verified under both hashes, and one changed bit is noticed', () => {
  for (const cid of [nameBlock(bytes), nameBlock(bytes, RAW, sha256)]) {
    assert.ok(verifyBlock(cid, bytes))
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      assert.ok(!verifyBlock(cid, flipped))
    }
    assert.ok(!verifyBlock(cid, bytes.subarray(1)))
    assert.ok(!verifyBlock(cid, new Uint8Array(0)))
  }
})

test('a cut digest verifies nothing', () => {
  const whole = nameBlock(bytes)
  const cut = CID.createV1(RAW, Digest.create(whole.multihash.code, whole.multihash.digest.subarray(0, 4)))
  assert.ok(!verifyBlock(cut, bytes))
  const identity = CID.createV1(RAW, Digest.create(0, bytes))
  assert.ok(!verifyBlock(identity, bytes))
})

test('every way to read a name refuses names that this network does not use', () => {
  const foreign: Record<string, CID> = {
    'a digest of 4 bytes': CID.createV1(RAW, Digest.create(0x1e, digest.subarray(0, 4))),
    'a digest of 31 bytes': CID.createV1(RAW, Digest.create(0x12, digest.subarray(1))),
    'a digest of 64 bytes': CID.createV1(RAW, Digest.create(0x1e, Buffer.alloc(64))),
    'an empty digest': CID.createV1(RAW, Digest.create(0x1e, new Uint8Array(0))),
    'the identity hash': CID.createV1(RAW, Digest.create(0, digest)),
    'SHA-1': CID.createV1(RAW, Digest.create(0x11, digest)),
    'SHA-512': CID.createV1(RAW, Digest.create(0x13, digest)),
    'double SHA-256': CID.createV1(RAW, Digest.create(0x56, digest)),
    BLAKE2b: CID.createV1(RAW, Digest.create(0xb220, digest)),
    'dag-pb': CID.createV1(0x70, Digest.create(0x1e, digest)),
    'dag-json where it was not chosen': CID.createV1(dagJson.code, Digest.create(0x1e, digest)),
    'the identity codec': CID.createV1(0, Digest.create(0x1e, digest)),
    'version 0': CID.createV0(Digest.create(0x12, digest))
  }
  for (const [what, cid] of Object.entries(foreign)) {
    assert.throws(() => checkCid(cid), ForeignCidError, what)
    assert.throws(() => decodeCid(cid.bytes), ForeignCidError, what)
    assert.throws(() => parseCid(cid.toString()), ForeignCidError, what)
  }
})

test('the list of codecs is a parameter, and raw is always on it', () => {
  const json = CID.createV1(dagJson.code, Digest.create(0x1e, digest))
  assert.equal(checkCid(json, [dagJson.code]), json)
  assert.throws(() => checkCid(CID.createV1(DAG_CBOR, Digest.create(0x1e, digest)), [dagJson.code]), ForeignCidError)
  assert.ok(parseCid(json.toString(), [dagJson.code]).equals(json))
  checkCid(nameBlock(bytes), [])
})

test('only the canonical bytes of a CID are that CID', () => {
  const cid = nameBlock(bytes)
  assert.ok(decodeCid(cid.bytes).equals(cid))
  assert.ok(decodeCid(Buffer.from(cid.bytes)).equals(cid))
  const d = cid.multihash.digest
  const bad: Record<string, Uint8Array> = {
    'a padded version': concatBytes(Uint8Array.of(0x81, 0, 0x55, 0x1e, 0x20), d),
    'a padded codec': concatBytes(Uint8Array.of(1, 0xd5, 0, 0x1e, 0x20), d),
    'a padded hash code': concatBytes(Uint8Array.of(1, 0x55, 0x9e, 0, 0x20), d),
    'a padded length': concatBytes(Uint8Array.of(1, 0x55, 0x1e, 0xa0, 0), d),
    'a trailing byte': concatBytes(cid.bytes, Uint8Array.of(0)),
    'a missing byte': cid.bytes.subarray(0, -1),
    'a length that lies': concatBytes(Uint8Array.of(1, 0x55, 0x1e, 0x21), d),
    'version 2': concatBytes(Uint8Array.of(2, 0x55, 0x1e, 0x20), d),
    'an endless varint': Buffer.alloc(40, 0xff),
    nothing: new Uint8Array(0)
  }
  for (const [what, bytes] of Object.entries(bad)) assert.throws(() => decodeCid(bytes), ForeignCidError, what)
})

test('text that is not a CID is refused with an error that is a FormatError too', () => {
  for (const text of ['', 'b', 'hello', 'z', 'bafy', '/ipfs/x', `${nameBlock(bytes)}x`])
    assert.throws(() => parseCid(text), FormatError, text)
})

test('long text is refused without decoding, which takes time in the square of its length', () => {
  const started = performance.now()
  for (const prefix of ['z', 'k', 'b', 'Q']) assert.throws(() => parseCid(prefix + '2'.repeat(50_000)), FormatError)
  assert.ok(performance.now() - started < 1000)
})
