import type { BlockCid } from '../format/cid.ts'
import { isNode } from '../format/cid.ts'
import { FormatError } from '../format/errors.ts'
import { childShape, decodeNode, type Link, type NodeCodec, type NodeShape, openNode } from '../format/manifest.ts'

/** A chunk of a file, and the part of it that a reader wants. */
export interface ChunkRef extends Link {
  /** Bytes of the chunk's text before the first wanted one. */
  from: number
  /** The first byte of the text after those wanted. */
  to: number
}

/** Bytes `from` (inclusive) to `to` (exclusive) of a file. */
export interface Span {
  from: number
  to: number
}

/**
 * The chunks that hold a span of a file, in order: down the manifest, reading only the nodes that the span needs. Each
 * node must promise exactly what its parent says of it.
 */
export async function* chunksInRange(
  root: Link,
  span: Span,
  read: (cid: BlockCid) => Promise<Uint8Array>,
  codec: NodeCodec
): AsyncGenerator<ChunkRef> {
  if (span.from >= span.to) return
  yield* below(root, undefined, span, read, codec)
}

async function* below(
  link: Link,
  shape: NodeShape | undefined,
  span: Span,
  read: (cid: BlockCid) => Promise<Uint8Array>,
  codec: NodeCodec
): AsyncGenerator<ChunkRef> {
  if (!isNode(link.cid)) {
    yield { ...link, ...span }
    return
  }
  const node = decodeNode(await read(link.cid), shape, codec)
  const links = openNode(node, link.key, codec)
  if (links.reduce((sum, child) => sum + child.size, 0) !== link.size)
    throw new FormatError('manifest node has not the size that its parent states')
  let start = 0
  for (const [i, child] of links.entries()) {
    const from = Math.max(span.from - start, 0)
    const to = Math.min(span.to - start, child.size)
    start += child.size
    if (from >= to) continue
    const childNode = node.height === 1 ? undefined : childShape(node, i)
    yield* below(child, childNode, { from, to }, read, codec)
  }
}
