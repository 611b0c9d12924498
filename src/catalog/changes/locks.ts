import { toHex } from '../../util/bytes.ts'
import { KeyedLocks } from '../../util/locks.ts'

/** The key of the lock that all moves of directories share; no name and no entry has this key. */
export const DIRECTORY_MOVES = 'directories'

/** Returns the key of an entry's lock. */
export function entryLock(id: Uint8Array): string {
  return toHex(id)
}

/** Returns the key of the lock of a name in a directory: the directory is an id, because its own path may change. */
export function nameLock(parent: Uint8Array, name: string): string {
  return `${toHex(parent)}/${name}`
}

/** The locks that the changes of one member take. There is no deadlock, because each change takes all of its locks in order. */
export class TreeLocks {
  readonly #locks = new KeyedLocks()

  /** Runs `work` while the keys are held. `work` must not ask for further keys. */
  hold<T>(keys: Iterable<string>, work: () => Promise<T>): Promise<T> {
    const ordered = [...new Set(keys)].sort()
    const lock = (i: number): Promise<T> =>
      i === ordered.length ? work() : this.#locks.run(ordered[i] as string, () => lock(i + 1))
    return lock(0)
  }
}
