import { pipe } from 'it-pipe'
import { NotEnoughCopiesError } from '../blocks/errors.ts'
import type { Put, PutOutcome } from '../blocks/put/put.ts'
import type { Content } from '../catalog/author.ts'
import { tagOfContent } from '../catalog/content-tag.ts'
import { fixedChunker } from '../format/chunker.ts'
import type { BlockCid } from '../format/cid.ts'
import { CHUNK_BYTES, INLINE_BYTES_MAX } from '../format/constants.ts'
import { formatPath, type Path } from '../format/path.ts'
import { inlineRoot, sealFile } from '../format/seal-file.ts'
import { idOf, type Statement } from '../format/statement.ts'
import { SMALL_FILE_BYTES_MAX } from './constants.ts'
import { copiesOf, type FsContext, recordReplicas } from './context.ts'
import { deliver } from './deliver.ts'
import { peek } from './source.ts'
import type { PutOptions, PutResult, Source } from './types.ts'

/** What a put was asked beside the bytes, with this node's defaults filled in. */
export interface ResolvedPutOptions extends PutOptions {
  copies: number
  acks: number | undefined
}

/**
 * Stores a file. Sealed as it comes, kept by as many members as asked for, and then linked, which is the commit point:
 * nothing was visible before, and what was not linked runs out. A file of any size passes through a bounded window.
 */
export async function putFile(fs: FsContext, path: Path, source: Source, options: PutOptions = {}): Promise<PutResult> {
  const resolved = resolvePutOptions(fs, options)
  const { whole, all } = await peek(source, SMALL_FILE_BYTES_MAX)
  // What cannot succeed is refused before much is stored; whether it still can is looked at again when it is linked.
  if (whole === undefined) await fs.catalog.checkLink(path, options)
  const isInline = whole !== undefined && whole.byteLength <= INLINE_BYTES_MAX
  const put = openPut(fs, resolved, whole !== undefined)
  try {
    const { id: rootEpoch, content: subkey } = fs.author.epoch
    const facts = { rootEpoch, mtime: timeOf(fs, options), mode: options.mode, type: options.type }
    if (isInline) {
      const content = { ...facts, root: inlineRoot(subkey, whole), size: whole.byteLength, content: whole }
      return await linkFile(fs, put, path, content, null, resolved)
    }
    // A small file is one chunk of just its size: no buffer for a large one is made.
    const chunk = fixedChunker(whole === undefined ? CHUNK_BYTES : whole.byteLength)
    const root = await pipe(all, chunk, sealFile({ subkey, codec: fs.codec }), put.keep)
    if (root === null) throw new TypeError('what is not inline has a root')
    await put.keepRoot(root.cid)
    const content = { ...facts, root: root.cid.bytes, size: root.size, key: root.key }
    return await linkFile(fs, put, path, content, root.cid, resolved)
  } finally {
    put.close()
  }
}

/** Makes content that a put has kept stand at a path, and waits for as many members as asked to say that they have it. */
export async function linkFile(
  fs: FsContext,
  put: Put,
  path: Path,
  content: Content,
  root: BlockCid | null,
  resolved: ResolvedPutOptions
): Promise<PutResult> {
  resolved.signal?.throwIfAborted()
  const change = await fs.catalog.link(path, content, {
    replicas: recordReplicas(resolved.copies),
    noClobber: resolved.noClobber,
    ifTag: resolved.ifTag
  })
  const others = deliver(
    fs,
    change.statements.filter(statement => statement !== change.record)
  )
  const blockBytes = Math.min(content.size, CHUNK_BYTES)
  const [outcome] = await Promise.all([acknowledge(fs, put, change.record, root, resolved.copies, blockBytes), others])
  return {
    path: formatPath(change.path),
    size: content.size,
    root: root === null ? null : root.toString(),
    version: idOf(change.record),
    tag: tagOfContent(content) as string,
    reached: outcome.reached,
    wanted: outcome.wanted,
    owed: { blocks: outcome.owedBlocks, bytes: outcome.owedBlocks * blockBytes }
  }
}

export function resolvePutOptions(fs: FsContext, options: PutOptions): ResolvedPutOptions {
  const copies = copiesOf(options.replicas) ?? fs.defaults.replicas
  return { ...options, copies, acks: copiesOf(options.ack) ?? fs.defaults.ack }
}

/** A put for small files shares its calls with others of their kind. */
export function openPut(fs: FsContext, { copies, acks, signal }: ResolvedPutOptions, isSmall: boolean): Put {
  const options = { replicas: copies, ack: acks, signal }
  return isSmall ? fs.blocks.openSmallPut(options) : fs.blocks.openPut(options)
}

// The record stands whatever comes of this: copies that are still missing are seen to, now or after a restart.
async function acknowledge(
  fs: FsContext,
  put: Put,
  record: Statement<'entry'>,
  root: BlockCid | null,
  replicas: number,
  blockBytes: number
): Promise<PutOutcome> {
  const ref = root === null ? undefined : { id: record.id, root, replicas, author: fs.members.self.peerId }
  let owedBlocks = 1
  try {
    const outcome = await put.acknowledge(record, root)
    owedBlocks = outcome.owedBlocks
    return outcome
  } catch (error) {
    if (error instanceof NotEnoughCopiesError) owedBlocks = error.owedBlocks
    throw error
  } finally {
    if (ref !== undefined && owedBlocks > 0) await fs.blocks.deliver(ref, owedBlocks, blockBytes)
  }
}

function timeOf(fs: FsContext, { modified }: PutOptions): number {
  return Math.floor(modified?.getTime() ?? fs.clock.now())
}
