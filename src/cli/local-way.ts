import { join } from 'node:path'
import type { AnswerOf } from '../contract/verbs.ts'
import { CliError } from '../terminal/errors.ts'
import { safeName } from './local-file.ts'
import type { LocalTargets } from './local-target.ts'

/** A folder on the way down. */
interface Level {
  /** Its path in the network. */
  path: string
  /** Undefined if it could not be created. */
  local: string | undefined
}

/**
 * Finds the local path of each item of a recursive listing, in which the items of each directory follow it. A folder may
 * have another name here than in the network, so each path is built from the folder above it.
 */
export class LocalWay {
  readonly #targets: LocalTargets
  readonly #levels: [Level, ...Level[]]

  constructor(path: string, folder: string, targets: LocalTargets) {
    this.#targets = targets
    this.#levels = [{ path: path === '/' ? '' : path, local: folder }]
  }

  /**
   * Returns the local path of an item. Creates the folder if it is one. Throws a `CliError` or the error of the disk if
   * it can have none.
   */
  async localOf({ path, kind }: AnswerOf<'list'>): Promise<string> {
    const above = this.#above(path)
    const level: Level = { path, local: undefined }
    if (kind === 'directory') this.#levels.push(level)
    if (above.local === undefined) throw new CliError('failed', 'its local folder is missing')
    // The node never lists a name that leads elsewhere. This is checked once more before it reaches a disk.
    const names = path.slice(above.path.length + 1).split('/')
    for (const name of names) safeName(name)
    const local = join(above.local, ...names)
    if (kind === 'file') return local
    level.local = await this.#targets.folder(local)
    return level.local
  }

  #above(path: string): Level {
    for (let last = this.#levels.at(-1) as Level; ; last = this.#levels.at(-1) as Level) {
      if (this.#levels.length === 1 || path.startsWith(`${last.path}/`)) return last
      this.#levels.pop()
    }
  }
}
