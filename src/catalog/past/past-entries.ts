import type { IndexDb } from '../../disk/index-db.ts'
import { toHex } from '../../util/bytes.ts'
import type { Bodies } from '../bodies.ts'
import { stampKey } from '../heads.ts'
import { recordsOf } from '../rows/keys.ts'
import { decodeRecordRow } from '../rows/record-rows.ts'
import type { Tree } from '../tree.ts'
import type { PastPlace, PastTree } from './past-tree.ts'

export interface PastEntriesOptions {
  index: Pick<IndexDb, 'range'>
  tree: Pick<Tree, 'entry'>
  past: PastTree
  bodies: Pick<Bodies, 'open'>
}

/** An entry whose versions belong to a path. */
export interface PastEntry {
  id: Uint8Array
  file: Uint8Array
  /** True if the file went on under a new id, so that the delete of this one is nobody's doing. */
  isContinued: boolean
  /** The `written` of the content that shows, as the key of a map. */
  current: string | undefined
  conflicts: ReadonlySet<string>
}

/** Finds the entries whose versions belong to a path. */
export class PastEntries {
  readonly #options: PastEntriesOptions

  constructor(options: PastEntriesOptions) {
    this.#options = options
  }

  /** Yields the entries whose versions belong to a path. */
  async *at(place: PastPlace): AsyncGenerator<PastEntry> {
    const { shown } = place
    const ids = shown?.kind === 'file' ? [shown.id, ...shown.rivals] : []
    // Those that went on under a new id. They are found both by their names and from the id that replaced them.
    const continued = new Set(ids.map(toHex))
    for (const [i, id] of ids.entries()) yield* this.#withPredecessors(id, { isRival: i > 0, continued })
    for await (const { id, kind } of this.#options.past.deletedAt(place))
      if (kind === 'file' && !continued.has(toHex(id))) yield* this.#withPredecessors(id, { isRival: false, continued })
  }

  /** Yields an entry, and those that it continues. */
  async *#withPredecessors(
    first: Uint8Array,
    { isRival, continued }: { isRival: boolean; continued: Set<string> }
  ): AsyncGenerator<PastEntry> {
    let id: Uint8Array | undefined = first
    for (let isContinued = false; id !== undefined; isContinued = true) {
      yield await this.one(id, { file: first, isRival: isRival && !isContinued })
      id = await this.#predecessorOf(id)
      if (id === undefined || continued.has(toHex(id))) return
      continued.add(toHex(id))
    }
  }

  async one(
    id: Uint8Array,
    { file = id, isRival = false }: { file?: Uint8Array; isRival?: boolean } = {}
  ): Promise<PastEntry> {
    const shown = (await this.#options.tree.entry(id))?.shown
    const content = shown?.content === undefined ? undefined : stampKey(shown.content.written)
    const conflicts = new Set(shown?.conflicts.map(({ written }) => stampKey(written)))
    if (isRival && content !== undefined) conflicts.add(content)
    return { id, file, isContinued: file !== id, current: isRival ? undefined : content, conflicts }
  }

  /** Returns the id under which a file was known before its past grew too long; undefined if this is its first id. */
  async #predecessorOf(id: Uint8Array): Promise<Uint8Array | undefined> {
    const { index, bodies } = this.#options
    for await (const { value } of index.range(recordsOf(id), { limit: 1 }))
      return (await bodies.open(decodeRecordRow(value)))?.continues
    return undefined
  }
}
