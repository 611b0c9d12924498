import * as Digest from 'multiformats/hashes/digest'
import { type BlockCid, CID, DAG_CBOR, RAW } from './cid.ts'
import { FANOUT, MANIFEST_VERSION } from './constants.ts'
import { DIGEST_BYTES, HASHES } from './hash.ts'

/** The fields of a manifest node. */
export interface NodeFields {
  leaves: number
  links: BlockCid[]
  sealed: Uint8Array
  /** The encoding of the fields that are not sealed, to which the sealed part is bound. */
  clear: Uint8Array
}

/**
 * The parts of the canonical dag-cbor of a node. SPEC.md has them byte by byte. The keys of a map are ordered by length
 * first, so `sealed` comes last.
 */
const MAP_OF_3 = 0xa3
const MAP_OF_4 = Buffer.from([0xa4])
const KEYS = {
  version: Buffer.from([0x61, ...Buffer.from('v'), MANIFEST_VERSION, 0x65, ...Buffer.from('links')]),
  leaves: Buffer.from([0x66, ...Buffer.from('leaves')]),
  sealed: Buffer.from([0x66, ...Buffer.from('sealed')])
}
const UNSIGNED = 0
const BYTES = 2
const ARRAY = 4
/** Tag 42 over a byte string that begins with a zero byte, and the version of the CID. */
const LINK = Buffer.from([0xd8, 0x2a, 0x58, DIGEST_BYTES + 5, 0x00, 0x01])
const CID_BYTES = DIGEST_BYTES + 4
const LINK_BYTES = LINK.byteLength - 1 + CID_BYTES
const HASH_CODES = HASHES.map(({ code }) => code)

/**
 * Reads a manifest node from its canonical dag-cbor. Returns undefined for any other bytes. The library takes 14 ms for
 * the first node of 256 links that a process reads and 3 ms for a later one, because it decodes the node, and then
 * encodes it twice: once to see whether it is canonical, and once to open it. Here nothing else than the canonical form
 * is accepted, so there is nothing to compare.
 */
export function readNodeBytes(bytes: Uint8Array): NodeFields | undefined {
  const reader = new Reader(bytes)
  if (!reader.take(MAP_OF_4) || !reader.take(KEYS.version)) return undefined
  const count = reader.head(ARRAY)
  if (count === undefined || count < 1 || count > FANOUT) return undefined
  const links: BlockCid[] = []
  for (let i = 0; i < count; i++) {
    const link = reader.link()
    if (link === undefined) return undefined
    links.push(link)
  }
  if (!reader.take(KEYS.leaves)) return undefined
  const leaves = reader.head(UNSIGNED)
  const clear = new Uint8Array(bytes.subarray(0, reader.at))
  clear[0] = MAP_OF_3
  if (leaves === undefined || !reader.take(KEYS.sealed)) return undefined
  const length = reader.head(BYTES)
  if (length === undefined || length !== bytes.byteLength - reader.at) return undefined
  return { leaves, links, sealed: bytes.subarray(reader.at), clear }
}

class Reader {
  readonly #bytes: Uint8Array
  at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Returns true and goes on behind them if exactly these bytes come next. */
  take(expected: Uint8Array): boolean {
    for (let i = 0; i < expected.byteLength; i++) if (this.#bytes[this.at + i] !== expected[i]) return false
    this.at += expected.byteLength
    return true
  }

  /** Reads the head of an item (RFC 8949, section 3) of this major type, in its shortest form and below 2^32. */
  head(majorType: number): number | undefined {
    const first = this.#bytes[this.at] ?? 0xff
    if (first >> 5 !== majorType) return undefined
    const short = first & 0x1f
    this.at++
    if (short < 24) return short
    const width = [1, 2, 4][short - 24]
    if (width === undefined || this.at + width > this.#bytes.byteLength) return undefined
    let value = 0
    for (let i = 0; i < width; i++) value = value * 256 + (this.#bytes[this.at + i] as number)
    this.at += width
    const least = width === 1 ? 24 : 2 ** (4 * width)
    return value < least ? undefined : value
  }

  /** Reads a link to a block of a name that this network uses. */
  link(): BlockCid | undefined {
    const end = this.at + LINK_BYTES
    if (end > this.#bytes.byteLength || !this.take(LINK)) return undefined
    // A copy, so that a link that is kept does not keep the whole node.
    const bytes = new Uint8Array(this.#bytes.subarray(end - CID_BYTES, end))
    this.at = end
    const [codec, hash] = [bytes[1] as number, bytes[2] as number]
    if ((codec !== RAW && codec !== DAG_CBOR) || !HASH_CODES.includes(hash) || bytes[3] !== DIGEST_BYTES)
      return undefined
    const multihash = new Digest.Digest(hash, DIGEST_BYTES, bytes.subarray(4), bytes.subarray(2))
    return new CID(1, codec, multihash, bytes)
  }
}
