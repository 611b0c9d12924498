import type { BlockCid } from '../../format/cid.ts'
import { FormatError } from '../../format/errors.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { Clock } from '../../util/clock.ts'
import { RefusedError } from '../../wire/errors.ts'
import type { Bitmap } from '../bitmap.ts'
import { KEEP_PAGE_MS, PAGE_CHUNKS } from '../constants.ts'
import { isOutOfReach } from '../errors.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { isChunk, type ManifestBlock, type ManifestChunk, walkBatches } from '../manifest-walk.ts'

export interface WalkPageOptions {
  clock: Clock
  local: Pick<LocalBlocks, 'getOrThrow'>
  codec: NodeCodec
  root: BlockCid
  /** The index of the first chunk that the page is about. */
  first: number
  /** The chunks that the asker counts on this member for. Bit 0 stands for `first`. */
  chunks: Pick<Bitmap, 'has'>
  /** Tries to bring a manifest node here before it is read. Leave it out to read only nodes that are already here. */
  ensureNode?: ((cid: BlockCid) => Promise<unknown>) | undefined
  /** Called with the counted chunks in the order of the file, one batch at a time. */
  onBatch: (batch: ManifestChunk[]) => Promise<void>
  /** How long the walk may take. It always handles at least one batch. */
  msMax?: number
}

/**
 * Walks a part of a file for a peer that counts on this member for some of its chunks: from `first` to the end of its
 * page. Manifest nodes are read from this disk only. Returns the number of chunks, from `first` on, that it has passed,
 * which is less than the page if that would take longer than `msMax`. Returns undefined if a node is not here. Throws a
 * `RefusedError` if the manifest breaks the format.
 */
export async function walkPage(options: WalkPageOptions): Promise<number | undefined> {
  const { clock, local, codec, root, first, chunks, ensureNode, onBatch, msMax = KEEP_PAGE_MS } = options
  const readNode = async (cid: BlockCid): Promise<Uint8Array> => {
    await ensureNode?.(cid)
    return local.getOrThrow(cid)
  }
  const select = (block: ManifestBlock): block is ManifestChunk =>
    isChunk(block) && chunks.has(block.chunkIndex - first)
  const to = pageEnd(first)
  const dueAtMs = clock.monotonic() + msMax
  try {
    for await (const batch of walkBatches({ root, readNode, codec, select, from: first, to })) {
      await onBatch(batch)
      if (clock.monotonic() >= dueAtMs) return (batch.at(-1) as ManifestChunk).chunkIndex + 1 - first
    }
    return to - first
  } catch (error) {
    if (error instanceof FormatError) throw new RefusedError('invalid')
    if (isOutOfReach(error)) return undefined
    throw error
  }
}

/** Returns the index after the last chunk of the page in which a chunk is. */
export function pageEnd(chunkIndex: number): number {
  return chunkIndex - (chunkIndex % PAGE_CHUNKS) + PAGE_CHUNKS
}
