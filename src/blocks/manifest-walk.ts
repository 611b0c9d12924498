import { type BlockCid, isNode } from '../format/cid.ts'
import { childShape, decodeNode, type ManifestNode, type NodeCodec, type NodeShape } from '../format/manifest.ts'

/** A block of a file as its manifest names it. */
export interface ManifestBlock {
  cid: BlockCid
  /** Multihash of the manifest node that links to it; null for the root. */
  parent: Uint8Array | null
  /** Its place among the file's chunks; null for a manifest node. */
  chunkIndex: number | null
}

/** Fetches a manifest node's bytes; from disk, or from whoever has it. */
export type ReadNode = (cid: BlockCid) => Promise<Uint8Array>

/**
 * Every block below a root, root first, in the order of the file, without keys: a member that can read nothing walks it
 * too. A node is read only when its turn comes, and refused if it is not of the shape that its parent promised.
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
  yield* walkNode(root, decodeNode(await readNode(root), undefined, codec), 0, readNode, codec)
}

async function* walkNode(
  cid: BlockCid,
  node: ManifestNode,
  firstChunk: number,
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
    yield* walkNode(link, decodeNode(await readNode(link), shape, codec), chunkIndex, readNode, codec)
    chunkIndex += shape.leaves
  }
}
