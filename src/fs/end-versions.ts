import type { Author, VersionEnd } from '../catalog/author.ts'
import type { Records } from '../catalog/change.ts'
import type { PastDirectory, PastPlace } from '../catalog/past/past.ts'
import type { Version } from '../catalog/versions/versions.ts'
import { batchesOf } from '../util/batches.ts'
import { equalBytes } from '../util/bytes.ts'
import { ENDED_AT_ONCE } from './constants.ts'
import type { FsContext } from './context.ts'

type Context = Pick<FsContext, 'past' | 'catalog' | 'tree' | 'members' | 'clock'>

/** What a purge, or the cancel of one, is about, and what to do with the records. */
export interface EndInit {
  place: PastPlace
  ends: VersionEnd
  /** Whether this is also about what is below the place. */
  recursive: boolean
  signal: AbortSignal | undefined
  onAppended: (records: Records, entries: number) => Promise<void>
  /** Returns true for an entry that needs no look, because the caller has just deleted it with the same end. */
  isDone?: ReturnType<Author['isOfRemoval']>
}

/**
 * Purges the files that are deleted already, at a place and below it, or cancels purges of them that wait. Signs nothing
 * about a file whose versions this would not change. Returns the number of files.
 */
export async function endPast(fs: Context, init: EndInit): Promise<number> {
  const { ends, recursive, signal, onAppended } = init
  let count = 0
  for await (const ids of batchesOf(filesToEnd(fs, init), ENDED_AT_ONCE)) {
    signal?.throwIfAborted()
    count += ids.length
    await onAppended(await fs.catalog.endVersions(ids, ends), ids.length)
  }
  if (!recursive) return count
  for await (const ids of batchesOf(directoriesToEnd(fs, init, count > 0), ENDED_AT_ONCE)) {
    signal?.throwIfAborted()
    await onAppended(await fs.catalog.endVersions(ids, ends), ids.length)
  }
  return count
}

/** Yields the ids of deleted files at and below a place that have versions to end, or a purge to cancel. */
async function* filesToEnd(fs: Context, init: EndInit): AsyncGenerator<Uint8Array> {
  for await (const id of filesIn(fs, init.place, init.recursive)) if (await isToEnd(fs, id, init)) yield id
}

async function* filesIn({ past }: Context, place: PastPlace, recursive: boolean): AsyncGenerator<Uint8Array> {
  for await (const { id } of past.entries.at(place)) yield id
  if (!recursive) return
  const directory = await directoryAt(past, place)
  if (directory === undefined) return
  for await (const { kind, id } of past.removed.all(directory)) if (kind === 'file') yield* past.entries.idsOf(id)
}

/**
 * Yields the deleted directories at and below a place that a purge or a cancel is about. If files in them are deleted
 * once more, so are the directories that another member removed, so that what one removal took still belongs together.
 */
async function* directoriesToEnd(
  fs: Context,
  { place, ends, isDone }: EndInit,
  hasFiles: boolean
): AsyncGenerator<Uint8Array> {
  const { past, tree, members } = fs
  const directory = await directoryAt(past, place)
  if (directory === undefined) return
  const { publicKey } = members.self
  for await (const { kind, id } of past.removed.all(directory)) {
    if (kind !== 'directory') continue
    const state = (await tree.entry(id))?.row.state
    if (state === undefined || isDone?.(state) === true) continue
    const isOfOthers = hasFiles && !state.heads.some(({ stamp }) => equalBytes(stamp.author, publicKey))
    if (isOfOthers || (await past.removed.endsOf(id)).some(end => isEndable(fs, end, ends))) yield id
  }
}

function directoryAt(past: Context['past'], { parent, name }: PastPlace): Promise<PastDirectory | undefined> {
  return past.tree.childDirectory(parent, name)
}

async function isToEnd(fs: Context, id: Uint8Array, { ends, isDone }: EndInit): Promise<boolean> {
  const { catalog, tree } = fs
  const found = await tree.entry(id)
  if (found?.shown.isDeleted !== true || isDone?.(found.row.state) === true) return false
  for await (const version of catalog.versions.of(id))
    if (!version.isReleased && isEndable(fs, version, ends)) return true
  return false
}

/** Returns true if a purge, or a cancel, would change what becomes of a version. */
function isEndable(
  { clock, members }: Context,
  { purgedAtMs }: Pick<Version, 'purgedAtMs'>,
  ends: VersionEnd
): boolean {
  const waits = purgedAtMs !== null && purgedAtMs > clock.now()
  // An admin's purge does not wait, so it ends sooner what a writer has purged.
  return ends === 'cancel' ? waits : purgedAtMs === null || (members.self.role === 'admin' && waits)
}
