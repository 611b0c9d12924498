import { type BlockCid, blockKey, isNode } from '../format/cid.ts'
import { FormatError } from '../format/errors.ts'
import { childShape, decodeNode, type ManifestNode, type NodeCodec, type NodeShape } from '../format/manifest.ts'
import { batchesOf } from '../util/batches.ts'
import { FILE_CHUNKS_MAX, WALK_BATCH } from './constants.ts'

/** A block of a file as its manifest names it. */
export interface ManifestBlock {
  cid: BlockCid
  /** The multihash of the manifest node that links to it; null for the root. */
  parent: Uint8Array | null
  /** Its index among the file's chunks; null for a manifest node. */
  chunkIndex: number | null
}

/** A block that holds a part of the file's content. */
export interface ManifestChunk extends ManifestBlock {
  chunkIndex: number
}

/**
 * Returns the bytes of a manifest node, from disk or from another member. `parent` is the multihash of the node that
 * links to it; null for the root.
 */
export type ReadNode = (cid: BlockCid, parent: Uint8Array | null) => Promise<Uint8Array>

export interface WalkOptions {
  /** Chunks before this one are skipped, and so are the nodes that have no other chunks below them. */
  from?: number | undefined
  /** This chunk and those after it are skipped too. */
  to?: number | undefined
  /**
   * Yields and reads each manifest node only once, however many links lead to it. A chunk then has the index of its
   * first occurrence. Without this, four nodes of a thousand equal links each make a walk that never ends.
   */
  isOnce?: boolean | undefined
  /**
   * Called with the error of a node that cannot be read or breaks the format, and with the index of the first chunk below
   * the node. If it returns, the walk goes on after the chunks below the node; if it throws, the walk ends with that
   * error. If it is left out, the walk ends with the error of the node.
   */
  onSkip?: ((error: unknown, firstChunk: number) => void) | undefined
}

export interface WalkBatchesOptions<B extends ManifestBlock> extends WalkOptions {
  root: BlockCid
  readNode: ReadNode
  codec: NodeCodec
  /** Chooses what the batches hold. It is called with every block, in the order of the file. */
  select: (block: ManifestBlock) => block is B
}

/** Returns true for a block that holds content, as opposed to a manifest node. */
export function isChunk(block: ManifestBlock): block is ManifestChunk {
  return block.chunkIndex !== null
}

/** Returns true for every block. */
export function isAny(_: ManifestBlock): _ is ManifestBlock {
  return true
}

/**
 * Walks a manifest as `walkManifest` does, and yields the chosen blocks in batches of up to `WALK_BATCH`. The walk does
 * not continue until the caller asks for the next batch, so that the blocks of a large file are never all in memory. If
 * the walk ends with an error, the batch that was being filled is dropped.
 */
export function walkBatches<B extends ManifestBlock>(options: WalkBatchesOptions<B>): AsyncGenerator<B[]> {
  return batchesOf(chosenBlocks(options), WALK_BATCH)
}

async function* chosenBlocks<B extends ManifestBlock>({
  root,
  readNode,
  codec,
  select,
  ...options
}: WalkBatchesOptions<B>): AsyncGenerator<B> {
  for await (const block of walkManifest(root, readNode, codec, options)) if (select(block)) yield block
}

/**
 * Yields the root and every block below it, in the order of the file. It needs no keys, so a member that cannot read
 * any content can walk a manifest too. A node is read only when the walk reaches it, and is refused if it does not have
 * the shape that its parent promised, or if the root states more than `FILE_CHUNKS_MAX` chunks.
 */
export async function* walkManifest(
  root: BlockCid,
  readNode: ReadNode,
  codec: NodeCodec,
  options: WalkOptions = {}
): AsyncGenerator<ManifestBlock> {
  const { from = 0, to = Number.POSITIVE_INFINITY } = options
  if (!isNode(root)) {
    if (from === 0 && to > 0) yield { cid: root, parent: null, chunkIndex: 0 }
    return
  }
  yield { cid: root, parent: null, chunkIndex: null }
  const walk: Walk = { ...options, from, to, readNode, codec, seen: options.isOnce === true ? new Set() : undefined }
  const node = await nodeAt(walk, { cid: root, parent: null, firstChunk: 0 })
  if (node !== undefined) yield* walkNode(walk, { cid: root, node, firstChunk: 0 })
}

interface Walk extends WalkOptions {
  from: number
  to: number
  readNode: ReadNode
  codec: NodeCodec
  /** The nodes that have been read; undefined if each link counts. */
  seen: Set<string> | undefined
}

interface NodeAt {
  cid: BlockCid
  /** The multihash of the node that links to it; null for the root. */
  parent: Uint8Array | null
  firstChunk: number
  /** What its parent states about it; undefined for the root. */
  shape?: NodeShape
}

/** Returns a node, or undefined if it was skipped. */
async function nodeAt(walk: Walk, { cid, parent, firstChunk, shape }: NodeAt): Promise<ManifestNode | undefined> {
  const { readNode, codec, onSkip } = walk
  try {
    const node = decodeNode(await readNode(cid, parent), shape, codec)
    if (node.leaves > FILE_CHUNKS_MAX) throw new FormatError(`a file has at most ${FILE_CHUNKS_MAX} chunks`)
    return node
  } catch (error) {
    if (onSkip === undefined) throw error
    onSkip(error, firstChunk)
    return undefined
  }
}

async function* walkNode(
  walk: Walk,
  { cid, node, firstChunk }: { cid: BlockCid; node: ManifestNode; firstChunk: number }
): AsyncGenerator<ManifestBlock> {
  const parent = cid.multihash.bytes
  let chunkIndex = firstChunk
  for (const [i, link] of node.links.entries()) {
    if (chunkIndex >= walk.to) return
    if (node.height === 1) {
      if (chunkIndex >= walk.from) yield { cid: link, parent, chunkIndex }
      chunkIndex++
      continue
    }
    const at: Required<NodeAt> = { cid: link, parent, firstChunk: chunkIndex, shape: childShape(node, i) }
    chunkIndex += at.shape.leaves
    if (chunkIndex > walk.from && isFirst(walk, link)) yield* walkChild(walk, at)
  }
}

async function* walkChild(walk: Walk, at: Required<NodeAt>): AsyncGenerator<ManifestBlock> {
  const { cid, parent, firstChunk } = at
  yield { cid, parent, chunkIndex: null }
  const node = await nodeAt(walk, at)
  if (node !== undefined) yield* walkNode(walk, { cid, node, firstChunk })
}

function isFirst({ seen }: Walk, cid: BlockCid): boolean {
  if (seen === undefined) return true
  const key = blockKey(cid)
  if (seen.has(key)) return false
  seen.add(key)
  return true
}
