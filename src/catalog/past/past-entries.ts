import { toHex } from '../../util/bytes.ts'
import type { Bodies } from '../bodies.ts'
import { stampKey } from '../heads.ts'
import type { Tree } from '../tree.ts'
import type { PastPlace, PastTree } from './past-tree.ts'

export interface PastEntriesOptions {
  tree: Pick<Tree, 'entry'>
  past: PastTree
  bodies: Pick<Bodies, 'open'>
}

/** An entry whose versions belong to a path. */
export interface PastEntry {
  id: Uint8Array
  file: Uint8Array
  /** True if the file continues under a new id. Then no user asked for the delete of this one. */
  isContinued: boolean
  /** The `written` of the content that shows, as the key of a map. */
  current: string | undefined
  conflicts: ReadonlySet<string>
}

/** What an entry is to the path: the file that it shows, one that shows as its conflict, or one with the same content. */
type Role = 'file' | 'rival' | 'twin'

/** Finds the entries whose versions belong to a path. */
export class PastEntries {
  readonly #options: PastEntriesOptions

  constructor(options: PastEntriesOptions) {
    this.#options = options
  }

  /** Yields the entries whose versions belong to a path. */
  async *at(place: PastPlace): AsyncGenerator<PastEntry> {
    const { shown } = place
    const file = shown?.kind === 'file' ? shown : undefined
    const ids = file === undefined ? [] : [file.id, ...file.rivals, ...file.twins]
    // Those that went on under a new id. They are found both by their names and from the id that replaced them.
    const continued = new Set(ids.map(toHex))
    for (const id of ids) {
      const role = id === file?.id ? 'file' : file?.rivals.includes(id) === true ? 'rival' : 'twin'
      yield* this.#withPredecessors(id, { role, continued })
    }
    for await (const { id, kind } of this.#options.past.deletedAt(place))
      if (kind === 'file' && !continued.has(toHex(id))) yield* this.#withPredecessors(id, { role: 'file', continued })
  }

  /** Yields the id of a file, and those under which it was known before. */
  async *idsOf(file: Uint8Array): AsyncGenerator<Uint8Array> {
    const continued = new Set([toHex(file)])
    for await (const { id } of this.#withPredecessors(file, { role: 'file', continued })) yield id
  }

  /** Yields an entry, and those that it continues. */
  async *#withPredecessors(
    first: Uint8Array,
    { role, continued }: { role: Role; continued: Set<string> }
  ): AsyncGenerator<PastEntry> {
    let id: Uint8Array | undefined = first
    for (let isContinued = false; id !== undefined; isContinued = true) {
      yield await this.one(id, { file: first, role: isContinued ? 'file' : role })
      id = await this.#predecessorOf(id)
      if (id === undefined || continued.has(toHex(id))) return
      continued.add(toHex(id))
    }
  }

  async one(id: Uint8Array, { file = id, role = 'file' }: { file?: Uint8Array; role?: Role } = {}): Promise<PastEntry> {
    const shown = (await this.#options.tree.entry(id))?.shown
    const content = shown?.content === undefined ? undefined : stampKey(shown.content.written)
    const conflicts = new Set(shown?.conflicts.map(({ written }) => stampKey(written)))
    if (role === 'rival' && content !== undefined) conflicts.add(content)
    return { id, file, isContinued: file !== id, current: role === 'file' ? content : undefined, conflicts }
  }

  /**
   * Returns the id under which a file was known before its past grew too long; undefined if this is its first id. Each
   * record of the file says it, because the log forgets the first ones sooner or later.
   */
  async #predecessorOf(id: Uint8Array): Promise<Uint8Array | undefined> {
    const { tree, bodies } = this.#options
    const found = await tree.entry(id)
    for (const record of [found?.shown.content, found?.row.state.lastPut]) {
      const body = record === undefined ? undefined : await bodies.open(record)
      if (body !== undefined) return body.continues
    }
    return undefined
  }
}
