import type { VersionEnd } from '../catalog/author.ts'
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
}

/**
 * Purges the files that are deleted already, at a place and below it, or cancels purges of them that wait. Signs nothing
 * about a file whose versions this would not change. Returns the number of files.
 */
export async function endPast(fs: Context, { place, ends, recursive, signal, onAppended }: EndInit): Promise<number> {
  let count = 0
  for await (const ids of batchesOf(filesToEnd(fs, place, { ends, recursive }), ENDED_AT_ONCE)) {
    signal?.throwIfAborted()
    count += ids.length
    await onAppended(await fs.catalog.endVersions(ids, ends), ids.length)
  }
  if (count === 0 || !recursive) return count
  for await (const ids of batchesOf(directoriesOfOthers(fs, place), ENDED_AT_ONCE)) {
    signal?.throwIfAborted()
    await onAppended(await fs.catalog.endVersions(ids, ends), 0)
  }
  return count
}

/** Yields the ids of deleted files at and below a place that have versions to end, or a purge to cancel. */
async function* filesToEnd(
  fs: Context,
  place: PastPlace,
  { ends, recursive }: Pick<EndInit, 'ends' | 'recursive'>
): AsyncGenerator<Uint8Array> {
  for await (const id of filesIn(fs, place, recursive)) if (await isToEnd(fs, id, ends)) yield id
}

async function* filesIn({ past }: Context, place: PastPlace, recursive: boolean): AsyncGenerator<Uint8Array> {
  for await (const { id } of past.entries.at(place)) yield id
  if (!recursive) return
  const directory = await directoryAt(past, place)
  if (directory === undefined) return
  for await (const { kind, id } of past.removed.all(directory)) if (kind === 'file') yield* past.entries.idsOf(id)
}

/**
 * Yields the deleted directories at and below a place that another member removed. They are deleted once more too, as
 * the files in them are, so that what one removal took still belongs together.
 */
async function* directoriesOfOthers({ past, tree, members }: Context, place: PastPlace): AsyncGenerator<Uint8Array> {
  const directory = await directoryAt(past, place)
  if (directory === undefined) return
  const { publicKey } = members.self
  for await (const { kind, id } of past.removed.all(directory)) {
    const heads = kind === 'directory' ? ((await tree.entry(id))?.row.state.heads ?? []) : []
    if (heads.length > 0 && !heads.some(({ stamp }) => equalBytes(stamp.author, publicKey))) yield id
  }
}

function directoryAt(past: Context['past'], { parent, name }: PastPlace): Promise<PastDirectory | undefined> {
  return past.tree.childDirectory(parent, name)
}

async function isToEnd({ catalog, tree, clock, members }: Context, id: Uint8Array, ends: VersionEnd): Promise<boolean> {
  if ((await tree.entry(id))?.shown.isDeleted !== true) return false
  const nowMs = clock.now()
  const waits = ({ purgedAtMs }: Version): boolean => purgedAtMs !== null && purgedAtMs > nowMs
  const isAdmin = members.self.role === 'admin'
  for await (const version of catalog.versions.of(id)) {
    if (version.isReleased) continue
    // An admin's purge does not wait, so it ends sooner what a writer has purged.
    if (ends === 'cancel' ? waits(version) : version.purgedAtMs === null || (isAdmin && waits(version))) return true
  }
  return false
}
