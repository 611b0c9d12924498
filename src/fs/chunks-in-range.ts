import type { BlockCid } from '../format/cid.ts'
import { isNode } from '../format/cid.ts'
import { FormatError } from '../format/errors.ts'
import { childShape, decodeNode, type Link, type NodeCodec, type NodeShape, openNode } from '../format/manifest.ts'

/** A chunk of a file, and the part of its text that a reader wants. */
export interface ChunkRef extends Link {
  /** The offset of the first wanted byte in the chunk's text. */
  from: number
  /** The offset just after the last wanted byte. */
  to: number
}

/** The bytes of a file from `from` (inclusive) to `to` (exclusive). */
export interface Span {
  from: number
  to: number
}

export interface ManifestReader {
  /** Fetches the bytes of a manifest node. */
  read: (cid: BlockCid) => Promise<Uint8Array>
  codec: NodeCodec
}

/**
 * Yields the chunks that hold a span of a file, in order. It walks down the manifest and reads only the nodes that it
 * needs. Throws a `FormatError` if a node does not have the shape and size that its parent states.
 */
export async function* chunksInRange(root: Link, span: Span, reader: ManifestReader): AsyncGenerator<ChunkRef> {
  if (span.from < span.to) yield* chunksBelow(root, undefined, span, reader)
}

async function* chunksBelow(
  link: Link,
  shape: NodeShape | undefined,
  span: Span,
  reader: ManifestReader
): AsyncGenerator<ChunkRef> {
  if (!isNode(link.cid)) {
    yield { ...link, ...span }
    return
  }
  const { read, codec } = reader
  const node = decodeNode(await read(link.cid), shape, codec)
  const links = openNode(node, link.key)
  if (links.reduce((sum, child) => sum + child.size, 0) !== link.size)
    throw new FormatError('the size of a manifest node is not what its parent states')
  let start = 0
  for (const [i, child] of links.entries()) {
    const from = Math.max(span.from - start, 0)
    const to = Math.min(span.to - start, child.size)
    start += child.size
    if (from >= to) continue
    const childNode = node.height === 1 ? undefined : childShape(node, i)
    yield* chunksBelow(child, childNode, { from, to }, reader)
  }
}
