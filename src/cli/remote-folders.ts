import type { AnswerOf } from '../contract/verbs.ts'
import { CliError } from '../terminal/errors.ts'
import type { Client } from './client.ts'

/** What the network has at a path. */
export type RemoteItem = Pick<AnswerOf<'list'>, 'kind' | 'size' | 'modified' | 'mode'>

/** A directory of the network that does not exist, or of which nothing needs to be known. */
const NOTHING: ReadonlyMap<string, RemoteItem> = new Map()

/**
 * Knows what the network has in the directories that a walk passes through. It asks once for each of them, and not at
 * all below one that does not exist, so that the first put of a folder costs one question. It remembers only the
 * directories on the way down, so the walk must be in order, each folder before its contents.
 */
export class RemoteFolders {
  readonly #client: Pick<Client, 'stream'>
  readonly #root: string
  readonly #signal: AbortSignal
  /** The directories on the way down, from the root. */
  #way: Array<ReadonlyMap<string, RemoteItem>> = []

  /** `root` is the path of the top directory, without a slash at its end. */
  constructor(client: Pick<Client, 'stream'>, root: string, signal: AbortSignal) {
    this.#client = client
    this.#root = root
    this.#signal = signal
  }

  /** Asks for the top directory. Returns true if it exists. */
  async begin(): Promise<boolean> {
    const top = await this.#list('/')
    this.#way = [top ?? NOTHING]
    return top !== undefined
  }

  /**
   * Returns what the network has for an item of the walk. `parts` lead to it from the root. A version of a file in conflict
   * does not count.
   */
  async find(parts: readonly string[], kind: 'file' | 'directory'): Promise<RemoteItem | undefined> {
    const name = (parts.at(-1) as string).normalize('NFC')
    const found = (this.#way[parts.length - 1] ?? NOTHING).get(name)
    if (kind === 'directory') {
      const inside = found?.kind === 'directory' ? await this.#list(`/${parts.join('/')}`) : undefined
      this.#way.length = parts.length
      this.#way.push(inside ?? NOTHING)
    }
    return found
  }

  async #list(below: string): Promise<ReadonlyMap<string, RemoteItem> | undefined> {
    const path = below === '/' ? this.#root || '/' : this.#root + below
    const items = new Map<string, RemoteItem>()
    try {
      for await (const item of this.#client.stream('list', { path, recursive: false }, this.#signal)) {
        const { kind, size, modified, mode, conflict } = item
        if (!conflict) items.set(item.path.slice(item.path.lastIndexOf('/') + 1), { kind, size, modified, mode })
      }
    } catch (error) {
      if (error instanceof CliError && error.code === 'not-found') return undefined
      throw error
    }
    return items
  }
}
