import { type BlockCid, isNode } from '../format/cid.ts'
import { childShape, decodeNode, type ManifestNode, type NodeCodec, type NodeShape } from '../format/manifest.ts'
import { WALK_BATCH } from './constants.ts'

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

export interface WalkBatchesOptions<B extends ManifestBlock> {
  root: BlockCid
  readNode: ReadNode
  codec: NodeCodec
  /** Chooses what the batches hold. It is called with every block, in the order of the file. */
  select: (block: ManifestBlock) => block is B
  /**
   * Called with the error that cuts the walk short. If the callback returns, the blocks that were chosen so far are
   * yielded and the walk ends. If there is no callback, the error is thrown and the batch that was being filled is
   * dropped.
   */
  onCutShort?: ((error: unknown) => void) | undefined
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
 * not continue until the caller asks for the next batch, so that the blocks of a large file are never all in memory.
 */
export async function* walkBatches<B extends ManifestBlock>({
  root,
  readNode,
  codec,
  select,
  onCutShort
}: WalkBatchesOptions<B>): AsyncGenerator<B[]> {
  let batch: B[] = []
  try {
    for await (const block of walkManifest(root, readNode, codec)) {
      if (!select(block)) continue
      batch.push(block)
      if (batch.length < WALK_BATCH) continue
      yield batch
      batch = []
    }
  } catch (error) {
    if (onCutShort === undefined) throw error
    onCutShort(error)
  }
  if (batch.length > 0) yield batch
}

/**
 * Yields the root and every block below it, in the order of the file. It needs no keys, so a member that cannot read
 * any content can walk a manifest too. A node is read only when the walk reaches it, and is refused if it does not have
 * the shape that its parent promised.
 */
export async function* walkManifest(
  root: BlockCid,
  readNode: ReadNode,
  codec: NodeCodec
): AsyncGenerator<ManifestBlock> {
  if (!isNode(root)) {
    yield { cid: root, parent: null, chunkIndex: 0 }
    return
  }
  yield { cid: root, parent: null, chunkIndex: null }
  const node = decodeNode(await readNode(root, null), undefined, codec)
  yield* walkNode({ cid: root, node, firstChunk: 0 }, readNode, codec)
}

async function* walkNode(
  { cid, node, firstChunk }: { cid: BlockCid; node: ManifestNode; firstChunk: number },
  readNode: ReadNode,
  codec: NodeCodec
): AsyncGenerator<ManifestBlock> {
  const parent = cid.multihash.bytes
  let chunkIndex = firstChunk
  for (const [i, link] of node.links.entries()) {
    if (node.height === 1) {
      yield { cid: link, parent, chunkIndex: chunkIndex++ }
      continue
    }
    const shape: NodeShape = childShape(node, i)
    yield { cid: link, parent, chunkIndex: null }
    const child = decodeNode(await readNode(link, parent), shape, codec)
    yield* walkNode({ cid: link, node: child, firstChunk: chunkIndex }, readNode, codec)
    chunkIndex += shape.leaves
  }
}
