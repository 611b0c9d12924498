import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { ROOT_ENTRY } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import { equalBytes, toHex } from '../../util/bytes.ts'
import { CYCLE_MAX, ORPHAN_MS } from '../constants.ts'
import type { Names } from '../names.ts'
import { endsCycle } from '../rows/cycles.ts'
import { decodeTreeRow, placeKey, type TreeRow } from '../rows/entry-row.ts'
import { decodeDirectoryValue, directoryKey, entryKey, waitingKey } from '../rows/keys.ts'

/**
 * Where a directory shows. `nowhere`: a directory above it is deleted, sealed, or has not arrived. `elsewhere`: below
 * an entry that shows at `/` as a conflict, because its own parent does not show it.
 */
export type Place = { path: Path; isShared: boolean } | 'nowhere' | 'elsewhere'

/** The tree before a batch, or as the batch will leave it. */
export interface TreeState {
  rowOf(entry: Uint8Array): Promise<TreeRow | undefined>
  /** Returns the value of a row of the table of children. */
  valueOf(key: Uint8Array): Promise<Uint8Array | undefined>
  /** Returns the value of a row of the table of names. It is empty if several entries have the name. */
  nameRowOf(parent: Uint8Array, hash: Uint8Array): Promise<Uint8Array | undefined>
  endsCycle(entry: Uint8Array): Promise<boolean>
}

/** Returns the tree as the index has it. */
export function indexedTree(index: IndexDb): TreeState {
  return {
    async rowOf(entry) {
      const value = await index.get(entryKey(entry))
      return value === undefined ? undefined : decodeTreeRow(value)
    },
    valueOf: key => index.get(key),
    nameRowOf: (parent, hash) => index.get(directoryKey(TABLES.names, parent, hash)),
    endsCycle: entry => endsCycle(index, entry)
  }
}

export interface PathsOptions {
  index: Pick<IndexDb, 'get'>
  names: Names
  tree: TreeState
  nowMs: number
  /** Paths that are known, and where those that are found are added. */
  cache?: PathCache | undefined
  /** Returns the place of a directory if it is known otherwise. */
  placeOf?: ((directory: Uint8Array) => Promise<Place> | undefined) | undefined
}

/** The places of directories that show, by their ids in hex. */
export interface PathCache {
  get(directory: string): Exclude<Place, string> | undefined
  set(directory: string, place: Exclude<Place, string>): unknown
}

/** Finds the paths of directories by their ids. It remembers them, so use it only while the tree stays the same. */
export class Paths {
  readonly #options: PathsOptions
  readonly #known = new Map<string, Place>([[toHex(ROOT_ENTRY), { path: [], isShared: false }]])

  constructor(options: PathsOptions) {
    this.#options = options
  }

  /** `isShared`: on the way, several entries have one name, so that several directories may show as one. */
  async of(directory: Uint8Array): Promise<Place> {
    const way: Array<{ key: string; name: string; isShared: boolean }> = []
    let place: Place | undefined
    for (let at = directory; place === undefined; ) {
      place = this.#known.get(toHex(at)) ?? this.#options.cache?.get(toHex(at)) ?? (await this.#options.placeOf?.(at))
      if (place !== undefined) break
      const step = await this.#step(at)
      if (typeof step === 'string') place = step
      else if (way.length === CYCLE_MAX) place = 'nowhere'
      else {
        way.push({ key: toHex(at), ...step })
        at = step.parent
      }
    }
    for (const { key, name, isShared } of way.reverse()) {
      if (typeof place !== 'string') place = { path: [...place.path, name], isShared: place.isShared || isShared }
      this.#known.set(key, place)
      if (typeof place !== 'string') this.#options.cache?.set(key, place)
    }
    return place
  }

  async #step(
    at: Uint8Array
  ): Promise<{ parent: Uint8Array; name: string; isShared: boolean } | 'nowhere' | 'elsewhere'> {
    const { names, tree } = this.#options
    const row = await tree.rowOf(at)
    if (row === undefined || row.isSealed) return (await this.#isOverdue(at)) ? 'elsewhere' : 'nowhere'
    if (row.kind !== 'directory') return 'elsewhere'
    const key = row.isHidden ? undefined : placeKey(at, row)
    if (key === undefined || row.name === undefined) return 'nowhere'
    if (await tree.endsCycle(at)) return 'elsewhere'
    const value = await tree.valueOf(key)
    if (value === undefined) return 'nowhere'
    const name = names.open(decodeDirectoryValue(value).sealedName, row.name)
    const nameRow = await tree.nameRowOf(row.parent, row.name)
    return { parent: row.parent, name, isShared: nameRow?.byteLength === 0 }
  }

  async #isOverdue(parent: Uint8Array): Promise<boolean> {
    const since = await this.#options.index.get(waitingKey(parent))
    if (since === undefined || equalBytes(parent, ROOT_ENTRY)) return false
    return this.#options.nowMs - Number(Buffer.from(since).readBigUInt64BE()) >= ORPHAN_MS
  }
}
