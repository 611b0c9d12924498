import { VersionExpiredError } from '../catalog/errors.ts'
import type { PastDirectory, PastPlace, RemovedEntry } from '../catalog/past/past.ts'
import { formatPath } from '../format/path.ts'
import { equalBytes } from '../util/bytes.ts'
import { DfsError, InvalidInputError } from '../util/errors.ts'
import { forEachUntilFailure } from '../util/for-each.ts'
import { DIRECTORIES_AT_ONCE, TREE_AT_ONCE } from './constants.ts'
import type { FsContext } from './context.ts'
import { FilesOnTheWay } from './files-on-the-way.ts'
import { ItemFailures } from './item-failures.ts'
import { MemberPushes } from './push-to-members.ts'
import { writeVersion } from './restore-file.ts'
import type { AbortOptions } from './types.ts'
import type { RestoreResult } from './version-types.ts'

export interface RestoreTreeOptions extends AbortOptions {
  /** Called when more has been restored, with all that has been so far. */
  onProgress?: ((soFar: RestoreResult) => void) | undefined
}

type RemovedFile = Extract<RemovedEntry, { kind: 'file' }>

/**
 * Brings back what one recursive removal took, and nothing that was deleted before. A file is left alone if something
 * has its name again, or a file has that of its directory, and left out if its content is no longer kept. If a file
 * cannot be restored, for example because its record is damaged, the others are restored nevertheless. If this fails
 * half-way, the files that it has restored stay, and another call restores the rest.
 */
export async function restoreTree(
  fs: FsContext,
  place: PastPlace,
  id: Uint8Array,
  options: RestoreTreeOptions
): Promise<RestoreResult> {
  const directory = (await fs.past.tree.childDirectory(place.parent, place.name)) as PastDirectory
  return new TreeRestore(fs, options).run(directory, fs.past.removed.of(directory, id))
}

/**
 * Brings back what the last recursive removal below a directory took that shows: one that was interrupted, or one of
 * something in the directory. Returns undefined if there is none.
 */
export async function restoreBelow(
  fs: FsContext,
  place: PastPlace,
  options: RestoreTreeOptions
): Promise<RestoreResult | undefined> {
  const { past } = fs
  const directory = (await past.tree.childDirectory(place.parent, place.name)) as PastDirectory
  const isKept = async (id: Uint8Array): Promise<boolean> => (await past.versions.lastOf(id)) !== undefined
  const removed = past.removed.last(directory, isKept)
  const first = await removed.next()
  if (first.done === true) return undefined
  return new TreeRestore(fs, options).run(directory, startingWith(first.value, removed))
}

async function* startingWith<T>(first: T, rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield first
  yield* rest
}

class TreeRestore {
  readonly #fs: FsContext
  readonly #signal: AbortSignal | undefined
  readonly #onProgress: (soFar: RestoreResult) => void
  readonly #pushes: MemberPushes
  readonly #filesOnTheWay: FilesOnTheWay
  /** The directories at the path itself. They come last, so that a repetition still finds what is left to restore. */
  readonly #top: Uint8Array[] = []
  #path = ''
  #files = 0
  #directories = 0
  #left = 0
  #gone = 0
  /** Why the first file was left out whose content is no longer kept. */
  #expired: VersionExpiredError | undefined
  readonly #failures = new ItemFailures()

  constructor(fs: FsContext, { signal, onProgress = () => {} }: RestoreTreeOptions) {
    this.#fs = fs
    this.#signal = signal
    this.#onProgress = onProgress
    this.#pushes = new MemberPushes(fs, signal)
    this.#filesOnTheWay = new FilesOnTheWay(fs.tree)
  }

  async run(directory: PastDirectory, removed: AsyncIterable<RemovedEntry>): Promise<RestoreResult> {
    const signal = this.#signal
    this.#path = formatPath(directory.path)
    try {
      const files = this.#filesOf(directory, removed)
      await forEachUntilFailure(files, { atOnce: TREE_AT_ONCE, signal }, (file, signal) => this.#restore(file, signal))
      if (this.#failures.count === 0 && !this.#isGone) await this.#restoreDirectories(this.#top)
      await this.#pushes.settle()
    } catch (error) {
      throw this.#failures.ended(error, this.#count, this.#countText)
    }
    if (this.#failures.count > 0) throw this.#failures.leftOut('restored', this.#count, this.#countText)
    if (this.#isGone) throw this.#expired
    if (this.#count + this.#left === 0)
      throw new InvalidInputError('nothing that was removed with this directory is left to restore')
    return this.#soFar
  }

  /** True if nothing is kept of any file. The directory then stays removed. */
  get #isGone(): boolean {
    return this.#files === 0 && this.#expired !== undefined
  }

  get #soFar(): RestoreResult {
    const [path, files, directories] = [this.#path, this.#files, this.#directories]
    const [left, gone] = [this.#left, this.#gone]
    return { path, kind: 'directory', restored: null, version: null, files, directories, left, gone }
  }

  get #count(): number {
    return this.#files + this.#directories
  }

  get #countText(): string {
    return `${this.#count} of the files and directories in it have been restored, and stay: repeat this for the rest`
  }

  /** Restores the directories below, many with one append, and yields the files. */
  async *#filesOf({ ids: top }: PastDirectory, removed: AsyncIterable<RemovedEntry>): AsyncGenerator<RemovedFile> {
    let ids: Uint8Array[] = []
    for await (const entry of removed) {
      this.#signal?.throwIfAborted()
      if (entry.kind === 'file') yield entry
      else if (top.some(id => equalBytes(id, entry.id))) this.#top.push(entry.id)
      else if (!(await this.#filesOnTheWay.isOnWayTo(entry.path))) ids.push(entry.id)
      if (ids.length < DIRECTORIES_AT_ONCE) continue
      await this.#restoreDirectories(ids)
      ids = []
    }
    if (ids.length > 0) await this.#restoreDirectories(ids)
  }

  async #restoreDirectories(ids: readonly Uint8Array[]): Promise<void> {
    const records = await this.#fs.catalog.restoreDirectories(ids)
    this.#directories += records.length
    this.#onProgress(this.#soFar)
    await this.#pushes.push(records)
  }

  async #restore(file: RemovedFile, signal: AbortSignal): Promise<void> {
    const { id, parent, name } = file
    try {
      if (await this.#filesOnTheWay.isOnWayTo(parent.path)) {
        this.#left++
        return
      }
      const row = await this.#fs.past.versions.latestOf(id)
      if (row === undefined) return
      await writeVersion(this.#fs, [...parent.path, name], row, { deleted: file, signal })
      this.#files++
      this.#onProgress(this.#soFar)
    } catch (error) {
      if (error instanceof VersionExpiredError) {
        this.#gone++
        this.#expired ??= error
      } else if (error instanceof DfsError && error.code === 'exists') this.#left++
      else this.#failures.note(error, [...parent.path, name])
    }
  }
}
