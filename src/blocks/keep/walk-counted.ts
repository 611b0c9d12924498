import type { BlockCid } from '../../format/cid.ts'
import { FormatError } from '../../format/errors.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import { RefusedError } from '../../wire/errors.ts'
import type { Bitmap } from '../bitmap.ts'
import { isOutOfReach } from '../errors.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { isChunk, type ManifestBlock, type ManifestChunk, walkBatches } from '../manifest-walk.ts'

export interface WalkCountedOptions {
  local: Pick<LocalBlocks, 'getOrThrow'>
  codec: NodeCodec
  root: BlockCid
  /** The chunks that the asker counts on this member for. */
  chunks: Pick<Bitmap, 'has'>
  /** Tries to bring a manifest node here before it is read. Leave it out to read only nodes that are already here. */
  ensureNode?: ((cid: BlockCid) => Promise<unknown>) | undefined
  /** Called with the counted chunks in the order of the file, one batch at a time. */
  onBatch: (batch: ManifestChunk[]) => Promise<void>
}

/**
 * Walks a file for a peer that counts on this member for some of its chunks. Manifest nodes are read from this disk
 * only. Returns the number of chunks in the file, or undefined if a node is not here. Throws a `RefusedError` if the
 * manifest breaks the format.
 */
export async function walkCounted(options: WalkCountedOptions): Promise<number | undefined> {
  const { local, codec, root, chunks, ensureNode, onBatch } = options
  const readNode = async (cid: BlockCid): Promise<Uint8Array> => {
    await ensureNode?.(cid)
    return local.getOrThrow(cid)
  }
  let chunkCount = 0
  const select = (block: ManifestBlock): block is ManifestChunk => {
    if (!isChunk(block)) return false
    chunkCount = block.chunkIndex + 1
    return chunks.has(block.chunkIndex)
  }
  try {
    for await (const batch of walkBatches({ root, readNode, codec, select })) await onBatch(batch)
    return chunkCount
  } catch (error) {
    if (error instanceof FormatError) throw new RefusedError('invalid')
    if (isOutOfReach(error)) return undefined
    throw error
  }
}
