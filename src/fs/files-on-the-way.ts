import { ExistsError } from '../catalog/errors.ts'
import type { Tree } from '../catalog/tree.ts'
import { formatPath, type Path } from '../format/path.ts'
import { growingCache } from '../util/lru.ts'

/** The most directories of which it remembers whether a file is on the way to them. */
const REMEMBERED_MAX = 4_096

/**
 * Looks for files that have taken the name of a removed directory. A restore below such a name would show the directory
 * again, and the file would lose its name.
 */
export class FilesOnTheWay {
  readonly #tree: Pick<Tree, 'resolve'>
  readonly #isOn = growingCache<string, boolean>(REMEMBERED_MAX)

  constructor(tree: Pick<Tree, 'resolve'>) {
    this.#tree = tree
  }

  /** Returns true if a file has the name of a directory, or of one above it. */
  async isOnWayTo(directory: Path): Promise<boolean> {
    if (directory.length === 0) return false
    const key = formatPath(directory)
    const known = this.#isOn.get(key)
    if (known !== undefined) return known
    const isOn =
      (await this.isOnWayTo(directory.slice(0, -1))) || (await this.#tree.resolve(directory))?.kind === 'file'
    this.#isOn.set(key, isOn)
    return isOn
  }

  /** Throws an `ExistsError` if a file has the name of a directory, or of one above it. */
  async assertNone(directory: Path): Promise<void> {
    if (await this.isOnWayTo(directory))
      throw new ExistsError(
        'a file has the name of a removed directory above this now: move it away first (dfs mv), then restore'
      )
  }
}
