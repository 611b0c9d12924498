import type { KeyObject } from 'node:crypto'
import * as dagCbor from '@ipld/dag-cbor'
import type { BlockCodec } from 'multiformats/codecs/interface'
import { equalBytes } from '../util/bytes.ts'
import type { Lease } from '../util/lease.ts'
import { decodePlain, encodeCbor } from './cbor.ts'
import { type BlockCid, CID, checkCid, decodeCid, nameBlock, RAW } from './cid.ts'
import {
  CHUNK_BYTES_MAX,
  DEPTH_MAX,
  FANOUT,
  MANIFEST_VERSION,
  NODE_BYTES_MAX,
  SEAL_OVERHEAD_BYTES
} from './constants.ts'
import { FormatError } from './errors.ts'
import { KEY_BYTES, NO_SALT, open, seal } from './seal.ts'

/**
 * The DAG that lists the chunks of a file. A node holds the names of the blocks below it in the clear, so that a member
 * that can read nothing still knows which blocks belong together. Keys and sizes are sealed. The shape follows from the
 * number of chunks: every node except the last of its level is full, and all chunks are at the same depth. So the same
 * content has the same root, and a node that claims another shape is refused before anything below it is fetched.
 */

/** The codec of manifest nodes: dag-cbor, unless the network chose another one. */
export type NodeCodec = BlockCodec<number, unknown>
export const defaultNodeCodec: NodeCodec = { ...dagCbor, encode: encodeCbor as NodeCodec['encode'] }

/** The facts that a parent holds about a block below it. */
export interface Link {
  cid: BlockCid
  /** The key that opens the block. */
  key: Uint8Array
  /** The number of bytes of the file's text below this link. */
  size: number
}

/** The root of a file: its chunk if it has only one, otherwise a manifest node. */
export interface FileRoot extends Link {
  /** The number of chunks in the file. */
  leaves: number
  /** The most bytes of text in one chunk. */
  chunkBytesMax: number
}

/** A block on its way to the members: a chunk with its position in the file, or a manifest node. */
export interface SealedBlock {
  cid: BlockCid
  bytes: Uint8Array
  /** The number of the chunk in the file, counted from 0. Null for a manifest node. */
  chunkIndex: number | null
  /** Set on the last block of a file, which is its root. */
  root?: FileRoot
  /** The memory of a chunk. The code that places the block takes it. */
  lease?: Lease | undefined
}

interface NodeFields {
  leaves: number
  links: BlockCid[]
  sealed: Uint8Array
  /** The encoding of the clear part, to which the sealed part is bound. */
  clear: Uint8Array
}

/** A manifest node whose clear part has been checked. */
export interface ManifestNode extends NodeFields {
  /** 1 if the links are chunks. */
  height: number
}

/** The facts that the parent of a node states about it. The height of a root follows from the number of its leaves. */
export interface NodeShape {
  leaves: number
  height: number
}

export interface ManifestOptions {
  subkey: KeyObject
  salt?: Uint8Array
  codec?: NodeCodec
}

const SIZE_BYTES = 8
const ROW_BYTES = KEY_BYTES + SIZE_BYTES

/** Returns the number of chunks below a full node of this height. */
function leavesBelow(height: number): number {
  return FANOUT ** height
}

/** Returns the height of the root of a file with this many chunks (two or more). */
export function heightOf(leaves: number): number {
  let height = 1
  while (leavesBelow(height) < leaves) height++
  return height
}

/** Builds the manifest of one file while its chunks are added. Each node is returned as soon as it is full. */
export class ManifestBuilder {
  readonly #options: Required<ManifestOptions>
  readonly #levels: Array<Array<Link & { leaves: number }>> = [[]]
  #leaves = 0
  #chunkBytesMax = 0

  constructor({ subkey, salt = NO_SALT, codec = defaultNodeCodec }: ManifestOptions) {
    this.#options = { subkey, salt, codec }
  }

  /** Adds the link to the next chunk. Returns the nodes that this completes. */
  add(link: Link): SealedBlock[] {
    this.#leaves++
    this.#chunkBytesMax = Math.max(this.#chunkBytesMax, link.size)
    const nodes: SealedBlock[] = []
    this.#push(0, { ...link, leaves: 1 }, nodes)
    return nodes
  }

  /** Returns the remaining nodes and the root. The root is null for a file without chunks. */
  finish(): { nodes: SealedBlock[]; root: FileRoot | null } {
    const nodes: SealedBlock[] = []
    if (this.#leaves === 0) return { nodes, root: null }
    for (let level = 0; ; level++) {
      const links = this.#levels[level] ?? []
      const isTop = this.#levels.slice(level + 1).every(above => above.length === 0)
      const [only] = links
      if (isTop && links.length === 1 && only !== undefined)
        return { nodes, root: { ...only, chunkBytesMax: this.#chunkBytesMax } }
      if (links.length > 0) this.#close(level, nodes)
    }
  }

  #push(level: number, link: Link & { leaves: number }, nodes: SealedBlock[]): void {
    if (level > DEPTH_MAX) throw new FormatError(`a file has at most ${leavesBelow(DEPTH_MAX)} chunks`)
    this.#levels[level] ??= []
    const links = this.#levels[level]
    links.push(link)
    if (links.length === FANOUT) this.#close(level, nodes)
  }

  #close(level: number, nodes: SealedBlock[]): void {
    const links = this.#levels[level] ?? []
    this.#levels[level] = []
    const { bytes, key } = encodeNode(links, this.#options)
    const cid = nameBlock(bytes, this.#options.codec.code)
    nodes.push({ cid, bytes, chunkIndex: null })
    const size = links.reduce((sum, link) => sum + link.size, 0)
    const leaves = links.reduce((sum, link) => sum + link.leaves, 0)
    this.#push(level + 1, { cid, key, size, leaves }, nodes)
  }
}

function encodeNode(
  links: ReadonlyArray<Link & { leaves: number }>,
  { subkey, salt, codec }: Required<ManifestOptions>
): { bytes: Uint8Array; key: Uint8Array } {
  const leaves = links.reduce((sum, link) => sum + link.leaves, 0)
  const clear = { v: MANIFEST_VERSION, leaves, links: links.map(link => link.cid) }
  const rows = Buffer.alloc(links.length * ROW_BYTES)
  for (const [i, link] of links.entries()) {
    rows.set(link.key, i * ROW_BYTES)
    rows.writeBigUInt64BE(BigInt(link.size), i * ROW_BYTES + KEY_BYTES)
  }
  const sealed = seal(subkey, rows, { label: 'node', clear: codec.encode(clear) as Uint8Array, salt })
  return { bytes: codec.encode({ ...clear, sealed: sealed.bytes }) as Uint8Array, key: sealed.key }
}

/**
 * Reads the clear part of a manifest node. `shape` is what the parent stated; without it the node is a root. Throws a
 * `FormatError` for bytes that are not such a node. The shape must be checked. Otherwise a node of a thousand equal
 * links, each to another such node, and so on, could claim 10^12 chunks.
 */
export function decodeNode(bytes: Uint8Array, shape?: NodeShape, codec: NodeCodec = defaultNodeCodec): ManifestNode {
  if (bytes.byteLength > NODE_BYTES_MAX) throw new FormatError(`a manifest node has more than ${NODE_BYTES_MAX} bytes`)
  const { leaves, links, sealed, clear } = decodeFields(bytes, codec)
  if (leaves < 1 || leaves > leavesBelow(DEPTH_MAX) || (shape === undefined && leaves < 2)) {
    throw new FormatError('a manifest node states an impossible number of chunks')
  }
  const height = shape?.height ?? heightOf(leaves)
  if (shape !== undefined && shape.leaves !== leaves)
    throw new FormatError('a manifest node states a different number of chunks than its parent')
  if (links.length !== Math.ceil(leaves / leavesBelow(height - 1))) {
    throw new FormatError('the number of links in a manifest node does not match its number of chunks')
  }
  if (links.some(link => (link.code === RAW) !== (height === 1)))
    throw new FormatError('a manifest node links to a chunk where a node must be, or to a node where a chunk must be')
  if (sealed.byteLength !== links.length * ROW_BYTES + SEAL_OVERHEAD_BYTES)
    throw new FormatError('a manifest node does not have one sealed row per link')
  return { leaves, height, links, sealed, clear }
}

/**
 * Returns the blocks to which a manifest node links, whatever its place in a manifest. Throws a `FormatError` for bytes
 * that are not a node at any place. It does not check the shape of the manifest, so do not use it to walk further down.
 */
export function decodeLinks(bytes: Uint8Array, codec: NodeCodec = defaultNodeCodec): BlockCid[] {
  if (bytes.byteLength > NODE_BYTES_MAX) throw new FormatError(`a manifest node has more than ${NODE_BYTES_MAX} bytes`)
  return decodeFields(bytes, codec).links
}

/** Returns the shape that the i-th child of a node above height 1 must have. */
export function childShape(node: ManifestNode, i: number): NodeShape {
  const full = leavesBelow(node.height - 1)
  return { leaves: Math.min(full, node.leaves - i * full), height: node.height - 1 }
}

/** Opens the sealed part of a node: the key and size of each link. This also authenticates the clear part. */
export function openNode(node: ManifestNode, key: Uint8Array): Link[] {
  const rows = open(key, node.sealed, { label: 'node', clear: node.clear })
  const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength)
  return node.links.map((cid, i) => {
    const size = Number(view.getBigUint64(i * ROW_BYTES + KEY_BYTES))
    const sizeMax = CHUNK_BYTES_MAX * (node.height === 1 ? 1 : childShape(node, i).leaves)
    if (size < 1 || size > sizeMax) throw new FormatError('a manifest node states an impossible size')
    return { cid, key: rows.subarray(i * ROW_BYTES, i * ROW_BYTES + KEY_BYTES), size }
  })
}

interface NodeValue {
  v: number
  leaves: number
  links: CID[]
  sealed: Uint8Array
}

/** Returns the fields of a node, if the bytes are the canonical encoding of those fields. */
function decodeFields(bytes: Uint8Array, codec: NodeCodec): NodeFields {
  const plain = codec === defaultNodeCodec ? decodePlain(bytes) : undefined
  if (isNodeValue(plain)) {
    const { leaves, links, sealed } = plain
    const nodeCodecs = [codec.code]
    for (const link of links) checkCid(link, nodeCodecs)
    return { leaves, links, sealed, clear: clearPart(bytes, sealed) }
  }
  // Any codec can do this. For the default one it finds out what is wrong with bytes that are not canonical.
  const { v, leaves, links, sealed } = decodeValue(bytes, codec)
  return { leaves, links, sealed, clear: codec.encode({ v, leaves, links }) as Uint8Array }
}

/** Returns the canonical encoding of a node without `sealed`, which is its last field. */
function clearPart(bytes: Uint8Array, sealed: Uint8Array): Uint8Array {
  // The head of a byte string is as long as that of a number.
  const last = encodeCbor({ sealed: sealed.byteLength }).byteLength - 1 + sealed.byteLength
  const clear = new Uint8Array(bytes.subarray(0, bytes.byteLength - last))
  clear[0] = MAP_OF_3
  return clear
}

const MAP_OF_3 = 0xa3

function decodeValue(bytes: Uint8Array, codec: NodeCodec): NodeValue {
  let value: unknown
  try {
    value = codec.decode(bytes)
  } catch (cause) {
    throw new FormatError('a manifest node cannot be decoded', { cause })
  }
  if (!isNodeValue(value)) throw new FormatError('a manifest node has missing, unknown or malformed fields')
  // The links are decoded again, because a CID that was parsed from text remembers that text and would be encoded with
  // it.
  const node = { ...value, links: value.links.map(link => decodeCid(link.bytes, [codec.code])) }
  if (!equalBytes(codec.encode(node) as Uint8Array, bytes))
    throw new FormatError('a manifest node is not in its canonical encoding')
  return node
}

function isNodeValue(value: unknown): value is NodeValue {
  if (typeof value !== 'object' || value === null) return false
  const { v, leaves, links, sealed, ...rest } = value as Partial<NodeValue>
  return (
    Object.keys(rest).length === 0 &&
    v === MANIFEST_VERSION &&
    Number.isSafeInteger(leaves) &&
    sealed instanceof Uint8Array &&
    Array.isArray(links) &&
    links.length >= 1 &&
    links.length <= FANOUT &&
    // We do not use `CID.asCID`, because it accepts as a CID any map that has the same value under `/` and `bytes`.
    links.every(link => link instanceof CID)
  )
}
