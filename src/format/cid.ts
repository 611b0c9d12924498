import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { equalBytes, toHex } from '../util/bytes.ts'
import { ForeignCidError } from './errors.ts'
import { contentHash, DIGEST_BYTES, HASHES, type HashFunction } from './hash.ts'

/** Codec of a chunk: bytes, nothing more. */
export const RAW = 0x55
/** Codec of a manifest node by default. */
export const DAG_CBOR = 0x71

/** In characters, twice what a CID needs. Longer text is not even decoded, which takes time in the square of its length. */
const TEXT_LENGTH_MAX = 128

/** The name of a block, as version 1 CID: codec, multihash, and nothing of where it is. */
export type BlockCid = CID

/** The CID of sealed bytes. */
export function nameBlock(bytes: Uint8Array, codec: number = RAW, hash: HashFunction = contentHash): BlockCid {
  return CID.createV1(codec, Digest.create(hash.code, hash.digest(bytes)))
}

/** The CID of a block that is known by its multihash alone. Throws a `RangeError` or an `Error` for what is none. */
export function cidOfMultihash(multihash: Uint8Array, codec: number = RAW): BlockCid {
  return CID.createV1(codec, Digest.decode(multihash))
}

/**
 * Refuses any name that this network does not use. A name cut to four bytes "verifies" as well as a whole one, and
 * whoever may choose the hash function may choose identity: so codec, function and length come from closed lists.
 */
export function checkCid(cid: CID, nodeCodecs: readonly number[] = [DAG_CBOR]): BlockCid {
  if (cid.version !== 1) throw new ForeignCidError('a block is named by a CID of version 1')
  if (cid.code !== RAW && !nodeCodecs.includes(cid.code))
    throw new ForeignCidError('codec of this CID is not one of ours')
  if (!HASHES.some(hash => hash.code === cid.multihash.code)) {
    throw new ForeignCidError('hash function of this CID is not one of ours')
  }
  if (cid.multihash.digest.byteLength !== DIGEST_BYTES) throw new ForeignCidError('digest of this CID is not 32 bytes')
  return cid
}

/** Reads a CID from bytes that hold it and nothing else. */
export function decodeCid(bytes: Uint8Array, nodeCodecs?: readonly number[]): BlockCid {
  let cid: CID
  try {
    cid = CID.decode(bytes)
  } catch (cause) {
    throw new ForeignCidError('not a CID', { cause })
  }
  checkCid(cid, nodeCodecs)
  // Two encodings of one name (a padded varint) would be two names: only the shortest is one.
  if (
    !equalBytes(CID.createV1(cid.code, cid.multihash).bytes, bytes) ||
    !equalBytes(encodeMultihash(cid), cid.multihash.bytes)
  ) {
    throw new ForeignCidError('not the canonical bytes of this CID')
  }
  return cid
}

/** Reads a CID from its text, as a user or a header gives it. */
export function parseCid(text: string, nodeCodecs?: readonly number[]): BlockCid {
  if (text.length > TEXT_LENGTH_MAX) throw new ForeignCidError('not a CID: too long')
  let cid: CID
  try {
    cid = CID.parse(text)
  } catch (cause) {
    throw new ForeignCidError('not a CID', { cause })
  }
  return decodeCid(cid.bytes, nodeCodecs)
}

/** True if the bytes are those that the CID names. */
export function verifyBlock(cid: BlockCid, bytes: Uint8Array): boolean {
  const hash = HASHES.find(known => known.code === cid.multihash.code)
  return hash !== undefined && equalBytes(hash.digest(bytes), cid.multihash.digest)
}

/**
 * What files, claims, locks and rank go by: the multihash in hex. The codec is the link's business; under two codecs the
 * same bytes are one block.
 */
export function blockKey(cid: BlockCid): string {
  return toHex(cid.multihash.bytes)
}

export function isNode(cid: BlockCid): boolean {
  return cid.code !== RAW
}

function encodeMultihash(cid: CID): Uint8Array {
  return Digest.create(cid.multihash.code, cid.multihash.digest).bytes
}

export { CID }
