import type { KeptFile, SmallBlock, SmallPut } from '../blocks/blocks.ts'
import type { Content } from '../catalog/author.ts'
import type { LinkChange, LinkFailure } from '../catalog/change.ts'
import { CHUNK_BYTES_MAX } from '../format/constants.ts'
import { formatPath } from '../format/path.ts'
import { encodeReplicas } from '../format/replicas.ts'
import { Batcher } from '../util/batcher.ts'
import { pushAll } from '../util/push-all.ts'
import { SMALL_BATCH_BYTES_MAX, SMALL_BATCH_FILES_MAX, SMALL_BATCHES_AT_ONCE } from './constants.ts'
import type { FsContext, ResolvedPutOptions } from './context.ts'
import { finishPut, type LinkedFile } from './finish-put.ts'
import type { ReplicateContext } from './replicate.ts'
import type { LinkTo, SealedFile, SmallFile } from './small-file.ts'
import type { PutResult } from './types.ts'

type Context = ReplicateContext & Pick<FsContext, 'author' | 'catalog'>

interface Waiting extends SmallFile {
  resolved: ResolvedPutOptions
  /** Undefined for a file whose text travels in its record. */
  put: SmallPut | undefined
}

/** A small file whose content is durable here. */
interface Kept {
  file: Waiting
  content: Content
  /** Null for a file whose text travels in its record. */
  kept: KeptFile | null
}

/** What has become of a file on this member. */
type Outcome = LinkedFile | LinkFailure

/**
 * Puts small files and copies of them. Those that are put at about the same time go through each step together, as an
 * array: they are sealed one after another, their blocks are one write, and the records of those in one directory are one
 * change of the catalog and one write. A put of one file is a group of one. From then on each file is replicated on its
 * own, so that a member that is slow to take one does not hold up the others.
 *
 * Unlike other files, a small file is visible here before other members have its block, which goes to them together with
 * its record.
 */
export class SmallFiles {
  readonly #fs: Context
  readonly #batches: Batcher<Waiting, Outcome>

  constructor(fs: Context) {
    this.#fs = fs
    this.#batches = new Batcher(files => this.#link(files), {
      itemsMax: SMALL_BATCH_FILES_MAX,
      bytesMax: SMALL_BATCH_BYTES_MAX,
      sizeOf: ({ blockBytes }) => blockBytes,
      parallel: SMALL_BATCHES_AT_ONCE
    })
  }

  /**
   * Puts a file, and waits until the requested number of members have acknowledged it. An abort before it is linked
   * leaves nothing visible.
   */
  async put(file: SmallFile, resolved: ResolvedPutOptions): Promise<PutResult> {
    const { copies: replicas, acks: ack, signal } = resolved
    const { blockBytes } = file
    const put = blockBytes === 0 ? undefined : this.#fs.blocks.openSmallPut({ replicas, ack, signal })
    try {
      await put?.lease(blockBytes)
      const linked = await this.#batches.add({ ...file, resolved, put })
      if ('error' in linked) throw linked.error
      return await finishPut(this.#fs, linked, resolved)
    } finally {
      put?.close()
    }
  }

  /** Makes files durable and visible on this member. Returns what has become of each, in their order. */
  async #link(files: readonly Waiting[]): Promise<Outcome[]> {
    const outcomes = new Map<Waiting, Outcome>()
    const kept = await this.#keep(
      files.filter(file => !isAborted(file, outcomes)),
      outcomes
    )
    const isLeft = ({ file }: Kept): boolean => !isAborted(file, outcomes)
    const alone = kept.filter(one => one.file.linkTo !== undefined && isLeft(one))
    await Promise.all(alone.map(one => this.#linkAlone(one, outcomes)))
    for (let left = kept.filter(({ file }) => file.linkTo === undefined); left.length > 0; ) {
      const { groups, later } = groupsOf(left.filter(isLeft))
      await Promise.all(groups.map(group => this.#linkGroup(group, outcomes)))
      left = later
    }
    return files.map(file => outcomes.get(file) as Outcome)
  }

  /**
   * Seals files, and makes the blocks of those that have one durable on this member, in one write. If that fails, each
   * is tried alone, so that each has its own error: on a disk that is nearly full, some may fit.
   */
  async #keep(files: readonly Waiting[], outcomes: Map<Waiting, Outcome>): Promise<Kept[]> {
    const { author } = this.#fs
    const { epoch } = author
    const sealed = files.map(file => ({ file, ...file.seal(epoch) }))
    const keptFiles = (await this.#keepBlocks(sealed.flatMap(blocksOf))).values()
    return sealed.flatMap(({ file, content, block }) => {
      if (block === undefined) return { file, content, kept: null }
      const kept = keptFiles.next().value as KeptFile | LinkFailure
      if (!('error' in kept)) return { file, content, kept }
      outcomes.set(file, kept)
      return []
    })
  }

  /** Makes blocks durable. Returns what has become of each, in their order. */
  async #keepBlocks(blocks: readonly SmallBlock[]): Promise<Array<KeptFile | LinkFailure>> {
    if (blocks.length === 0) return []
    try {
      return await this.#fs.blocks.keepSmall(blocks)
    } catch (error) {
      if (blocks.length === 1) return [{ error }]
      const each: Array<KeptFile | LinkFailure> = []
      for (const block of blocks) pushAll(each, await this.#keepBlocks([block]))
      return each
    }
  }

  /** Links a file that is not linked at its own path, and so not together with others. */
  async #linkAlone({ file, content, kept }: Kept, outcomes: Map<Waiting, Outcome>): Promise<void> {
    try {
      const options = { replicas: encodeReplicas(file.resolved.copies) }
      const change = await (file.linkTo as LinkTo)(content, options)
      outcomes.set(file, { change, content, kept, chunkBytesMax: CHUNK_BYTES_MAX })
    } catch (error) {
      outcomes.set(file, { error })
    }
  }

  /** Links files of one directory. If none of them could be linked, each is tried alone, so that each has its own error. */
  async #linkGroup(group: readonly Kept[], outcomes: Map<Waiting, Outcome>): Promise<void> {
    const [{ file: first }] = group as [Kept]
    const files = group.map(({ file, content }) => ({ name: nameOf(file), content, target: file.resolved }))
    try {
      const options = { replicas: encodeReplicas(first.resolved.copies) }
      const changes = await this.#fs.catalog.linkAll(first.path.slice(0, -1), files, options)
      for (const [i, { file, content, kept }] of group.entries()) {
        const change = changes[i] as LinkChange | LinkFailure
        const linked = 'error' in change ? change : { change, content, kept, chunkBytesMax: CHUNK_BYTES_MAX }
        outcomes.set(file, linked)
      }
    } catch (error) {
      if (group.length === 1) outcomes.set(first, { error })
      else for (const file of group) await this.#linkGroup([file], outcomes)
    }
  }
}

/** Returns the block of a file, if it has one, with the put that keeps it. */
function blocksOf({ file: { put }, block }: SealedFile & { file: Waiting }): SmallBlock[] {
  return put === undefined || block === undefined ? [] : [{ put, root: block.cid, bytes: block.bytes }]
}

/**
 * Returns the files that can be linked together: those in one directory that want as many copies, if their names
 * differ. A file whose name is in its group already comes later.
 */
function groupsOf(files: readonly Kept[]): { groups: Kept[][]; later: Kept[] } {
  const groups = new Map<string, Map<string, Kept>>()
  const later: Kept[] = []
  for (const kept of files) {
    const { path, resolved } = kept.file
    const key = `${resolved.copies} ${formatPath(path.slice(0, -1))}`
    const group = groups.get(key) ?? new Map<string, Kept>()
    groups.set(key, group)
    if (group.has(nameOf(kept.file))) later.push(kept)
    else group.set(nameOf(kept.file), kept)
  }
  return { groups: [...groups.values()].map(group => [...group.values()]), later }
}

function nameOf({ path }: SmallFile): string {
  return path.at(-1) as string
}

/** Returns true, and notes it, if the caller of a put has gone. */
function isAborted(file: Waiting, outcomes: Map<Waiting, Outcome>): boolean {
  const { signal } = file.resolved
  if (signal?.aborted !== true) return false
  outcomes.set(file, { error: signal.reason })
  return true
}
