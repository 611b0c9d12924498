import { pipe } from 'it-pipe'
import type { KeptFile, Put } from '../blocks/blocks.ts'
import type { Content } from '../catalog/author.ts'
import { tagOfContent } from '../catalog/content-tag.ts'
import { fixedChunker } from '../format/chunker.ts'
import { CHUNK_BYTES_MAX, INLINE_BYTES_MAX } from '../format/constants.ts'
import { formatPath, type Path } from '../format/path.ts'
import { encodeReplicas } from '../format/replicas.ts'
import { inlineRoot, sealFile } from '../format/seal-file.ts'
import { idOf } from '../format/statement.ts'
import { SMALL_FILE_BYTES_MAX } from './constants.ts'
import { copiesOf, type FsContext } from './context.ts'
import { replicate } from './replicate.ts'
import { peek } from './source.ts'
import type { PutOptions, PutResult, Source } from './types.ts'

/**
 * The options of a put, with this node's defaults filled in and the numbers of copies in the form that the blocks room
 * uses.
 */
export interface ResolvedPutOptions extends PutOptions {
  copies: number
  acks: number | undefined
}

/**
 * Stores a file in three steps: it keeps the blocks, links the file (the commit point), and replicates the record.
 * Nothing is visible before the link; if a file is never linked, its blocks are freed when the put's claims expire. A
 * window of blocks bounds the memory, whatever the size of the file.
 */
export async function putFile(fs: FsContext, path: Path, source: Source, options: PutOptions = {}): Promise<PutResult> {
  const resolved = resolvePutOptions(fs, options)
  const { whole, all } = await peek(source, SMALL_FILE_BYTES_MAX)
  // Refuse a link that cannot succeed before much is stored. The link itself checks again.
  if (whole === undefined) await fs.catalog.checkLink(path, options)
  const { id: rootEpoch, content: subkey } = fs.author.epoch
  const facts = { rootEpoch, mtime: timeOf(fs, options), mode: options.mode, type: options.type }
  if (whole !== undefined && whole.byteLength <= INLINE_BYTES_MAX) {
    const content = { ...facts, root: inlineRoot(subkey, whole), size: whole.byteLength, content: whole }
    return linkAndReplicate(fs, { path, content, kept: null, resolved })
  }
  const put = openPut(fs, resolved, whole !== undefined)
  try {
    // A small file is one chunk of exactly its size, so that no large buffer is allocated for it.
    const chunk = fixedChunker(whole?.byteLength, put.lease)
    const root = await pipe(all, chunk, sealFile({ subkey, codec: fs.codec }), put.keep)
    if (root === null) throw new TypeError('a file that is not inline has a root')
    const kept = await put.keepRoot(root.cid)
    const content = { ...facts, root: root.cid.bytes, size: root.size, key: root.key }
    return await linkAndReplicate(fs, { path, content, kept, resolved, chunkBytesMax: root.chunkBytesMax })
  } finally {
    put.close()
  }
}

export interface FileToLink {
  path: Path
  content: Content
  /** What the put returned for the file's blocks; null for a file without blocks. */
  kept: KeptFile | null
  resolved: ResolvedPutOptions
  /** The most bytes of text in one chunk of the file, if that is known. */
  chunkBytesMax?: number
}

/** Makes kept content visible at a path, then waits until the requested number of members have acknowledged it. */
export async function linkAndReplicate(
  fs: FsContext,
  { path, content, kept, resolved, chunkBytesMax = CHUNK_BYTES_MAX }: FileToLink
): Promise<PutResult> {
  const { copies: replicas, acks: ack, noClobber, ifTag, signal } = resolved
  signal?.throwIfAborted()
  const change = await fs.catalog.link(path, content, { replicas: encodeReplicas(replicas), noClobber, ifTag })
  const chunkBytes = Math.min(content.size, chunkBytesMax)
  const { reached, wanted, owedBlocks } = await replicate(fs, change, { kept, replicas, ack, chunkBytes, signal })
  return {
    path: formatPath(change.path),
    size: content.size,
    root: kept === null ? null : kept.root.toString(),
    version: idOf(change.record),
    tag: tagOfContent(content) as string,
    reached,
    wanted,
    owed: { blocks: owedBlocks, bytes: owedBlocks * chunkBytes }
  }
}

export function resolvePutOptions(fs: FsContext, options: PutOptions): ResolvedPutOptions {
  const copies = copiesOf(options.replicas) ?? fs.defaults.replicas
  return { ...options, copies, acks: copiesOf(options.ack) ?? fs.defaults.ack }
}

/** Opens a put, which the caller must close. Puts of small files share their calls. */
export function openPut(fs: FsContext, { copies, acks, signal }: ResolvedPutOptions, isSmall: boolean): Put {
  const options = { replicas: copies, ack: acks, signal }
  return isSmall ? fs.blocks.openSmallPut(options) : fs.blocks.openPut(options)
}

function timeOf(fs: FsContext, { modified }: PutOptions): number {
  return Math.floor(modified?.getTime() ?? fs.clock.now())
}
