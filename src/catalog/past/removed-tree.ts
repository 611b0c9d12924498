import { TABLES } from '../../disk/tables.ts'
import { type EntryRecord, seenKey } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import { compareStamps, type Stamp } from '../../format/stamp.ts'
import { deletedAt } from '../heads.ts'
import { isRemoval } from '../incarnations.ts'
import type { Tree } from '../tree.ts'
import type { DirectoryNode } from '../tree-node.ts'
import type { Versions } from '../versions/versions.ts'
import type { PastRows } from './past-rows.ts'
import { isOnWay, type PastDirectory, type PastPlace, type PastTree } from './past-tree.ts'

export interface RemovedTreeOptions {
  tree: Pick<Tree, 'entry'>
  past: PastTree
  rows: PastRows
  kept: Pick<Versions, 'endOf'>
}

/** An entry that a removal has deleted. */
export type RemovedEntry =
  | { kind: 'directory'; id: Uint8Array; path: Path }
  | { kind: 'file'; id: Uint8Array; parent: DirectoryNode; name: string }

/** Returns true if a search is about a deleted entry. */
type IsTaken = (id: Uint8Array) => Promise<boolean>

/**
 * Finds what one recursive removal has deleted: its deletes share an incarnation (`changes/remove-tree.ts`). If several
 * members removed a directory at the same time, their removals count as one.
 */
export class RemovedTree {
  readonly #options: RemovedTreeOptions

  constructor(options: RemovedTreeOptions) {
    this.#options = options
  }

  /**
   * Yields everything that the last removal of a directory took, each directory before what is in it. It holds a list
   * of directories for each level of the tree. `directory` is the directory at its path, and `id` that of the entry.
   */
  async *of(directory: PastDirectory, id: Uint8Array): AsyncGenerator<RemovedEntry> {
    const removals = await this.#removalsOf(id)
    if (removals.size > 0) yield* this.#below(directory, id => this.#isOf(id, removals))
  }

  /**
   * Yields what the last recursive removal at or below a directory took there, of those that took something that can be
   * restored. An interrupted removal of the directory is one: it has left the directory itself. `isKept` says whether a
   * file can be restored.
   */
  async *last(directory: PastDirectory, isKept: (file: Uint8Array) => Promise<boolean>): AsyncGenerator<RemovedEntry> {
    let last: { removals: Set<string>; at: Stamp } | undefined
    for await (const { kind, id } of this.all(directory)) {
      const deletes = (await this.#deletesOf(id)).filter(({ stamp }) => isRemoval(stamp.incarnation))
      const at = deletes
        .map(({ stamp }) => stamp)
        .sort(compareStamps)
        .at(-1)
      if (at === undefined || (last !== undefined && compareStamps(at, last.at) <= 0)) continue
      if (kind === 'directory' || (await isKept(id))) last = { removals: new Set(deletes.map(removalOf)), at }
    }
    const removals = last?.removals
    if (removals !== undefined) yield* this.#below(directory, id => this.#isOf(id, removals))
  }

  /** Yields everything deleted at and below a directory, whatever removal took it, in the same order. */
  all(directory: PastDirectory): AsyncGenerator<RemovedEntry> {
    return this.#below(directory, async id => (await this.#options.tree.entry(id))?.shown.isDeleted === true)
  }

  /**
   * Returns the deleted directory that was at a path last; if the path shows a directory, one that shows nevertheless,
   * because something was put into it since, or one that another directory has replaced. The puts of the directories
   * order them, because a purge deletes again what was deleted before.
   */
  async lastAt(place: PastPlace, ids: readonly Uint8Array[] = []): Promise<Uint8Array | undefined> {
    let last: { id: Uint8Array; at: Stamp } | undefined
    const note = async (id: Uint8Array): Promise<void> => {
      const found = await this.#options.tree.entry(id)
      if (found?.shown.isDeleted !== true) return
      const { state } = found.row
      const at = state.lastPut?.stamp ?? deletedAt(state)
      if (last === undefined || compareStamps(at, last.at) > 0) last = { id, at }
    }
    for (const id of ids) await note(id)
    for await (const { id, kind } of this.#options.past.deletedAt(place)) {
      if (kind === 'directory') await note(id)
    }
    return last?.id
  }

  /**
   * Returns what the deletes of a directory do to each record of it that they have seen. A directory has no versions, but
   * a purge says as much about its records as about those of a file.
   */
  async endsOf(id: Uint8Array): Promise<Array<Awaited<ReturnType<Versions['endOf']>>>> {
    const seen = (await this.#deletesOf(id)).flatMap(({ seen }) => seen)
    const { kept } = this.#options
    return Promise.all(seen.map(written => kept.endOf(id, { written, arrivedAtMs: 0, isReleased: true })))
  }

  /** Returns true if a directory was removed with a purge, which nobody can cancel any more. */
  async isPurged(id: Uint8Array): Promise<boolean> {
    const ends = await this.endsOf(id)
    return ends.length > 0 && ends.every(({ isPurged }) => isPurged)
  }

  async *#below(top: PastDirectory, isTaken: IsTaken): AsyncGenerator<RemovedEntry> {
    const { rows, past } = this.#options
    const way: Array<{ directory: PastDirectory; names: AsyncGenerator<string> }> = []
    const enter = (directory: PastDirectory): void => {
      way.push({ directory, names: rows.directoryNames(directory.ids) })
    }
    try {
      yield* this.#in(top, isTaken)
      enter(top)
      for (let level = way.at(-1); level !== undefined; level = way.at(-1)) {
        const { done, value: name } = await level.names.next()
        const child = done === true ? undefined : await past.childDirectory(level.directory, name)
        if (done === true) way.pop()
        else if (
          child !== undefined &&
          !isOnWay(
            child,
            way.map(({ directory }) => directory)
          )
        ) {
          yield* this.#in(child, isTaken)
          enter(child)
        }
      }
    } finally {
      for (const { names } of way) await names.return(undefined)
    }
  }

  /** Yields the directory itself and the deleted files in it, but only those that the search is about. */
  async *#in(directory: PastDirectory, isTaken: IsTaken): AsyncGenerator<RemovedEntry> {
    for (const id of directory.ids) if (await isTaken(id)) yield { kind: 'directory', id, path: directory.path }
    for await (const { id, name } of this.#options.rows.deleted(directory.ids, [TABLES.deletedFiles]))
      if (await isTaken(id)) yield { kind: 'file', id, parent: directory, name }
  }

  async #isOf(id: Uint8Array, removals: ReadonlySet<string>): Promise<boolean> {
    for (const removal of await this.#removalsOf(id)) if (removals.has(removal)) return true
    return false
  }

  /** Returns the removals that deleted an entry; none if it is not deleted. */
  async #removalsOf(id: Uint8Array): Promise<Set<string>> {
    return new Set((await this.#deletesOf(id)).map(removalOf))
  }

  /** Returns the heads that deleted an entry; none if it is not deleted. */
  async #deletesOf(id: Uint8Array): Promise<EntryRecord[]> {
    const found = await this.#options.tree.entry(id)
    return found?.shown.isDeleted === true ? found.row.state.heads.filter(({ op }) => op === 'delete') : []
  }
}

function removalOf({ stamp: { author, incarnation } }: EntryRecord): string {
  return seenKey(author, incarnation)
}
