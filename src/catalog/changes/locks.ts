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

/**
 * The number of keys whose last release is remembered. One change never reads for so long that more keys are released
 * meanwhile.
 */
const RELEASES_MAX = 4_096

/**
 * The locks that the changes of one member take. There is no deadlock, because a change waits for all of its keys in
 * order, and takes further ones only if they are free.
 */
export class TreeLocks {
  readonly #locks = new KeyedLocks()
  /** When each key was last released, the oldest first. */
  readonly #releases = new Map<string, number>()
  #now = 0
  /** Keys that are not in `#releases` were last released at this moment or earlier. */
  #forgotten = 0

  /** A moment: the number of releases so far. */
  get now(): number {
    return this.#now
  }

  /**
   * Returns true if nobody has held any of these keys since a moment. Everything read since then is as valid as if the
   * keys had been held. Returns false if this is not known.
   */
  wereFree(keys: readonly string[], since: number): boolean {
    return keys.every(key => !this.#locks.isHeld(key) && (this.#releases.get(key) ?? this.#forgotten) <= since)
  }

  /**
   * Runs `work` while the keys are held. `work` may hold more keys only if they are free, so that it never waits for
   * them.
   */
  async hold<T>(keys: Iterable<string>, work: () => Promise<T>): Promise<T> {
    const ordered = [...new Set(keys)].sort()
    const releases: Array<() => void> = []
    try {
      for (const key of ordered) {
        const { before, release } = this.#locks.take(key)
        releases.push(release)
        if (before !== undefined) await before
      }
      return await work()
    } finally {
      this.#noteReleases(ordered)
      for (const release of releases) release()
    }
  }

  #noteReleases(keys: readonly string[]): void {
    this.#now++
    for (const key of keys) {
      this.#releases.delete(key)
      this.#releases.set(key, this.#now)
    }
    for (const [key, at] of this.#releases) {
      if (this.#releases.size <= RELEASES_MAX) break
      this.#releases.delete(key)
      this.#forgotten = at
    }
  }
}
