import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { equalBytes, toHex } from '../util/bytes.ts'
import { ForeignCidError } from './errors.ts'
import { contentHash, DIGEST_BYTES, HASHES, type HashFunction } from './hash.ts'

/** The codec of a chunk: plain bytes. */
export const RAW = 0x55
/** The default codec of a manifest node. */
export const DAG_CBOR = 0x71

/**
 * The most characters in the text of a CID, which is twice what a CID needs. Longer text is not decoded, because
 * decoding takes quadratic time.
 */
const TEXT_LENGTH_MAX = 128

/**
 * The name of a block: a CID of version 1. It contains the codec and the multihash, and nothing about where the block
 * is stored.
 */
export type BlockCid = CID

/** Returns the CID of sealed bytes. */
export function nameBlock(bytes: Uint8Array, codec: number = RAW, hash: HashFunction = contentHash): BlockCid {
  const digest = hash.digest(bytes)
  if (codec >= TWO_BYTES) return CID.createV1(codec, Digest.create(hash.code, digest))
  const name = Buffer.allocUnsafe(SHORT_CID_BYTES)
  name[0] = CID_VERSION
  name[1] = codec
  name[2] = hash.code
  name[3] = DIGEST_BYTES
  name.set(digest, HEAD_BYTES)
  return fromShort(name) as BlockCid
}

/**
 * Returns the CID that these bytes are if its version, codec, hash and length have a byte each, and undefined for any
 * others. A varint of one byte has no other encoding. The library would make a dozen objects on the way.
 */
function fromShort(bytes: Uint8Array): BlockCid | undefined {
  // The library keeps plain arrays.
  return isShortCid(bytes)
    ? shortCid(new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength))
    : undefined
}

/** Returns true for the bytes of a CID whose version, codec, hash and length have a byte each. */
export function isShortCid(bytes: Uint8Array): boolean {
  return (
    bytes.byteLength === SHORT_CID_BYTES &&
    bytes[0] === CID_VERSION &&
    (bytes[1] as number) < TWO_BYTES &&
    (bytes[2] as number) < TWO_BYTES &&
    bytes[3] === DIGEST_BYTES
  )
}

/** Returns the CID that these bytes are, for which `isShortCid` returns true. The CID keeps the array, not a copy. */
export function shortCid(bytes: Uint8Array<ArrayBuffer>): BlockCid {
  const digest = new Digest.Digest(bytes[2] as number, DIGEST_BYTES, bytes.subarray(HEAD_BYTES), bytes.subarray(2))
  return new CID(CID_VERSION, bytes[1] as number, digest, bytes)
}

const CID_VERSION = 1
const HEAD_BYTES = 4
export const SHORT_CID_BYTES: number = HEAD_BYTES + DIGEST_BYTES
/** A varint of this number or a greater one has several bytes. */
const TWO_BYTES = 0x80

/** Returns the CID that these bytes are, if a record that was checked names it. */
export function cidIn(bytes: Uint8Array): BlockCid {
  return fromShort(bytes) ?? CID.decode(bytes)
}

/**
 * Returns the CID of a block of which only the multihash is known. Throws an `Error` for bytes that are not a
 * multihash.
 */
export function cidOfMultihash(multihash: Uint8Array, codec: number = RAW): BlockCid {
  return CID.createV1(codec, Digest.decode(multihash))
}

/**
 * Refuses CIDs that this network does not use. A digest that was cut to four bytes would "verify" just like a whole
 * one, and if a peer could choose the hash function, it could choose identity. Therefore the codec, the hash function
 * and the length must be in closed lists. `nodeCodecs` are the codecs that manifest nodes of this network may have.
 * Throws a `ForeignCidError`.
 */
export function checkCid(cid: CID, nodeCodecs: readonly number[] = [DAG_CBOR]): BlockCid {
  if (cid.version !== 1) throw new ForeignCidError('this CID is not of version 1: blocks have no other names')
  if (cid.code !== RAW && !nodeCodecs.includes(cid.code))
    throw new ForeignCidError('the codec of this CID is not one that this network uses')
  if (!HASH_CODES.includes(cid.multihash.code))
    throw new ForeignCidError('the hash function of this CID is not one that this network uses')
  if (cid.multihash.digest.byteLength !== DIGEST_BYTES)
    throw new ForeignCidError('the digest of this CID is not 32 bytes long')
  return cid
}

const HASH_CODES = HASHES.map(({ code }) => code)

/** Decodes a CID from bytes that contain nothing else. Throws a `ForeignCidError` for any other bytes. */
export function decodeCid(bytes: Uint8Array, nodeCodecs?: readonly number[]): BlockCid {
  const short = fromShort(bytes)
  if (short !== undefined) return checkCid(short, nodeCodecs)
  let cid: CID
  try {
    cid = CID.decode(bytes)
  } catch (cause) {
    throw new ForeignCidError('this is not a CID', { cause })
  }
  checkCid(cid, nodeCodecs)
  // If padded varints were accepted, one block would have two names, so only the shortest encoding is accepted.
  if (
    !equalBytes(CID.createV1(cid.code, cid.multihash).bytes, bytes) ||
    !equalBytes(encodeMultihash(cid), cid.multihash.bytes)
  ) {
    throw new ForeignCidError('the bytes of this CID are not its canonical encoding')
  }
  return cid
}

/** Parses a CID from text that comes from a user or a header. Throws a `ForeignCidError` for any other text. */
export function parseCid(text: string, nodeCodecs?: readonly number[]): BlockCid {
  if (text.length > TEXT_LENGTH_MAX) throw new ForeignCidError('this text is too long for a CID')
  let cid: CID
  try {
    cid = CID.parse(text)
  } catch (cause) {
    throw new ForeignCidError('this is not a CID', { cause })
  }
  return decodeCid(cid.bytes, nodeCodecs)
}

/** Returns true if the bytes have the hash that the CID contains. */
export function verifyBlock(cid: BlockCid, bytes: Uint8Array): boolean {
  const hash = HASHES.find(known => known.code === cid.multihash.code)
  return hash !== undefined && equalBytes(hash.digest(bytes), cid.multihash.digest)
}

/**
 * Returns the multihash in hex, which identifies a block in files, claims, locks and rank. The codec is not part of it,
 * because the codec belongs to the link: the same bytes under two codecs are one block.
 */
export function blockKey(cid: BlockCid): string {
  return toHex(cid.multihash.bytes)
}

/** Returns true for the CID of a manifest node, and false for that of a chunk. */
export function isNode(cid: BlockCid): boolean {
  return cid.code !== RAW
}

function encodeMultihash(cid: CID): Uint8Array {
  return Digest.create(cid.multihash.code, cid.multihash.digest).bytes
}

export { CID }
