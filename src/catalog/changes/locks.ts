import { formatPath, type Path } from '../../format/path.ts'
import { toHex } from '../../util/bytes.ts'
import { KeyedLocks } from '../../util/locks.ts'

/** The lock that all moves of directories share; no path and no id has this key. */
const DIRECTORY_MOVES = 'directories'

/**
 * Locks for the paths and entries that the changes of one member touch. There is no deadlock, because all changes take
 * their locks in the same order: moves of directories, then paths, then entries, and within each sort by key.
 */
export class TreeLocks {
  readonly #locks = new KeyedLocks()

  /**
   * Allows one move of a directory at a time. If two directories are moved into each other at the same time, the second
   * move must see the result of the first; otherwise the two moves together would make a cycle.
   */
  directoryMove<T>(work: () => Promise<T>): Promise<T> {
    return this.#locks.run(DIRECTORY_MOVES, work)
  }

  /** For each path, only one change at a time may give the name to an entry or take it away. */
  paths<T>(paths: readonly Path[], work: () => Promise<T>): Promise<T> {
    return this.#all(paths.map(formatPath), work)
  }

  /**
   * Allows one change of an entry at a time, because a record must have seen every head that exists when it is
   * appended.
   */
  entries<T>(ids: readonly Uint8Array[], work: () => Promise<T>): Promise<T> {
    return this.#all(ids.map(toHex), work)
  }

  #all<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const ordered = [...new Set(keys)].sort()
    const lock = (i: number): Promise<T> =>
      i === ordered.length ? work() : this.#locks.run(ordered[i] as string, () => lock(i + 1))
    return lock(0)
  }
}
