import type { KeptFile } from '../blocks/blocks.ts'
import type { Content } from '../catalog/author.ts'
import type { LinkChange } from '../catalog/change.ts'
import { tagOfContent } from '../catalog/content-tag.ts'
import { formatPath } from '../format/path.ts'
import { idOf } from '../format/statement.ts'
import { obstaclesOf } from '../members/obstacles.ts'
import { awaited, type ResolvedPutOptions } from './context.ts'
import { type ReplicateContext, replicate } from './replicate.ts'
import type { PutResult } from './types.ts'

/** A file that is durable and visible on this member. */
export interface LinkedFile {
  change: LinkChange
  content: Content
  /** What the put returned for the file's blocks; null if it has none. */
  kept: KeptFile | null
  /** The most bytes of text in one of its chunks. */
  chunkBytesMax: number
}

/** Replicates a file that was linked until the requested number of members have acknowledged it. */
export async function finishPut(
  fs: ReplicateContext,
  { change, content, kept, chunkBytesMax }: LinkedFile,
  { copies: replicas, acks: ack, signal }: ResolvedPutOptions
): Promise<PutResult> {
  const chunkBytes = Math.min(content.size, chunkBytesMax)
  const options = { kept, replicas, ack, chunkBytes, signal }
  const { reached, confirmed, wanted, owedBlocks, owedBy } = await replicate(fs, change, options)
  const root = kept === null ? null : kept.root.toString()
  return {
    path: formatPath(change.path),
    size: content.size,
    root,
    version: idOf(change.record),
    tag: root ?? (tagOfContent(content) as string),
    unchanged: change.isSameContent,
    reached,
    confirmed,
    wanted,
    owed: { blocks: owedBlocks, bytes: owedBlocks * chunkBytes, waitingFor: awaited(fs, owedBy) },
    warnings: [...obstaclesOf(fs.members)]
  }
}
