import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { EntryRecord } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import { equalBytes, toHex } from '../../util/bytes.ts'
import type { Names } from '../names.ts'
import type { Cycles } from '../rows/cycles.ts'
import type { DirectoryChanges, NameChange } from '../rows/directory-changes.ts'
import { placeKey, type TreeRow } from '../rows/entry-row.ts'
import { decodeDirectoryValue, directoryKey, nameKeyOf, waitingKey } from '../rows/keys.ts'
import type { PendingRow, PendingRows } from '../rows/pending-rows.ts'
import { indexedTree, type PathCache, Paths, type Place, type TreeState } from './paths.ts'
import type { Cause, Kind } from './steps.ts'

/** What the projection knows of an entry to which a batch adds records. */
export interface EntryFacts {
  cause: Cause | undefined
  /** True if the same contents show as before. */
  isSame: boolean
  /** True if the file had or has several versions that are not deleted. */
  hasVersions: boolean
}

/** How a batch leaves the tree. */
export interface BatchResult {
  rows: PendingRows
  changes: DirectoryChanges
  cycles: Cycles
  /** How the rows of names change, by the hex digits of their keys. */
  names: ReadonlyMap<string, NameChange>
  /** By the hex digits of the entry. */
  facts: ReadonlyMap<string, EntryFacts>
  /** When the first record that the batch has of an entry reached this member, in ms since the Unix epoch. */
  arrivals: ReadonlyMap<string, number>
}

/** One place of an entry in the table of children. */
export interface Spot {
  parent: Uint8Array
  name: string
  place: Place
  /** True if other entries have, or had, the same name in this directory. */
  isNameShared: boolean
  /** True if the directory may show as one with others. */
  isPlaceShared: boolean
}

/** How a batch changes where and how one entry shows. */
export interface Looked {
  entry: Uint8Array
  kind: Kind
  was: Spot | undefined
  is: Spot | undefined
  facts: EntryFacts | undefined
  /** True for a directory below which there may be entries that did not show before. */
  hasBelow: boolean
}

/** Looks at each entry that a batch changes, before and after. */
export class Look {
  /** When the last record of the batch reached this member. */
  readonly atMs: number
  /** True if the path of a directory may change that the batch does not change itself. */
  readonly movesDirectories: boolean
  readonly before: Paths
  readonly after: Paths
  /** True if entries that no directory shows, which show at `/`, may change. */
  isElsewhere = false
  readonly #index: IndexDb
  readonly #names: Names
  readonly #result: BatchResult

  /** `cache` has paths as they are before the batch. */
  constructor({ index, names, cache }: { index: IndexDb; names: Names; cache?: PathCache }, result: BatchResult) {
    this.#index = index
    this.#names = names
    this.#result = result
    this.atMs = [...result.arrivals.values()].reduce((last, atMs) => Math.max(last, atMs), 0)
    const options = { index, names, nowMs: this.atMs }
    const before = new Paths({ ...options, tree: indexedTree(index), cache })
    this.before = before
    // If no directory leaves its place, those that the batch does not change are where they were.
    const placeOf = (directory: Uint8Array): Promise<Place> | undefined =>
      this.movesDirectories || result.rows.get(directory) !== undefined ? undefined : before.of(directory)
    this.movesDirectories = movesDirectories(result)
    this.after = new Paths({ ...options, tree: this.#pendingTree(), placeOf })
  }

  /** Returns the changes of one entry: none, one, or two if a file turns into a directory or the reverse. */
  async at({ entry, old, row }: PendingRow): Promise<Looked[]> {
    await this.#lookForOrphans(entry, old, row)
    const [from, to] = [shownKey(entry, old), shownKey(entry, row)]
    if (from === undefined && to === undefined) return []
    const facts = this.#result.facts.get(toHex(entry))
    const isPut = from !== undefined && to !== undefined && equalBytes(from, to)
    if (isPut && facts?.isSame !== false && !(await this.#isOtherValue(from))) return []
    const was = from && (await this.#spot(from, old as TreeRow, this.before, key => this.#index.get(key)))
    const is = to && (await this.#spot(to, row, this.after, key => this.#result.changes.find(key)))
    const [oldKind, kind] = [old?.kind ?? row.kind, row.kind]
    const hasBelow = (oldKind === 'directory' || kind === 'directory') && (await this.#hasBelow(entry, was))
    const rest = { entry, facts, hasBelow }
    if (oldKind === kind || was === undefined || is === undefined)
      return [{ ...rest, kind: was === undefined ? kind : is === undefined ? oldKind : kind, was, is }]
    return [
      { ...rest, kind: oldKind, was, is: undefined },
      { ...rest, kind, was: undefined, is }
    ]
  }

  async #isOtherValue(key: Uint8Array): Promise<boolean> {
    const [before, after] = [await this.#index.get(key), await this.#result.changes.find(key)]
    return before === undefined || after === undefined || !equalBytes(before, after)
  }

  async #spot(
    key: Uint8Array,
    row: TreeRow,
    paths: Paths,
    read: (key: Uint8Array) => Promise<Uint8Array | undefined>
  ): Promise<Spot | undefined> {
    const value = await read(key)
    if (value === undefined) return undefined
    const name = row.text ?? this.#names.open(decodeDirectoryValue(value).sealedName, row.name as Uint8Array)
    const place = await paths.of(row.parent)
    if (place === 'elsewhere') this.isElsewhere = true
    const change = this.#result.names.get(toHex(nameKeyOf(key)))
    const isNameShared = change?.before?.byteLength === 0 || change?.after?.byteLength === 0
    return { parent: row.parent, name, place, isNameShared, isPlaceShared: typeof place !== 'string' && place.isShared }
  }

  /** Notes whether entries below this one begin or cease to show at `/`, because it becomes a directory or ceases to be one. */
  async #lookForOrphans(entry: Uint8Array, old: TreeRow | undefined, row: TreeRow): Promise<void> {
    if (row.kind === 'directory') {
      if (await this.#result.cycles.ends(entry)) this.isElsewhere = true
      if (old?.kind === 'directory' || !(await this.#index.has(waitingKey(entry)))) return
      if ((await this.before.of(entry)) === 'elsewhere') this.isElsewhere = true
    } else if (!row.isSealed && (old === undefined || old.kind === 'directory' || old.isSealed)) {
      const hadBelow = old?.kind === 'directory' || (await this.#index.has(waitingKey(entry)))
      if (hadBelow && (await this.#result.changes.hasRows(entry))) this.isElsewhere = true
    }
  }

  async #hasBelow(entry: Uint8Array, was: Spot | undefined): Promise<boolean> {
    if (was !== undefined) return typeof was.place === 'string'
    return this.#index.has(waitingKey(entry))
  }

  #pendingTree(): TreeState {
    const { rows, changes, cycles, names } = this.#result
    const indexed = indexedTree(this.#index)
    return {
      rowOf: entry => rows.after(entry),
      valueOf: key => changes.find(key),
      endsCycle: entry => cycles.ends(entry),
      nameRowOf: async (parent, hash) => {
        const change = names.get(toHex(directoryKey(TABLES.names, parent, hash)))
        return change === undefined ? indexed.nameRowOf(parent, hash) : change.after
      }
    }
  }
}

/** Returns the key of an entry's row in the table of children, or undefined if no directory lists it. */
function shownKey(entry: Uint8Array, row: TreeRow | undefined): Uint8Array | undefined {
  return row === undefined || row.isHidden ? undefined : placeKey(entry, row)
}

/** Returns the path of an entry at a spot; undefined if it shows nowhere. */
export function spotPath(spot: Pick<Spot, 'place' | 'name'> | undefined): Path | undefined {
  return spot === undefined || typeof spot.place === 'string' ? undefined : [...spot.place.path, spot.name]
}

/** Returns true if an entry leaves a spot. */
export function isMoved({ was, is }: Looked): boolean {
  return was !== undefined && !(is !== undefined && equalBytes(was.parent, is.parent) && was.name === is.name)
}

/** Returns what the heads of an entry that are not deleted, before and after a batch, say about its change. */
export function factsOf(
  last: EntryRecord | undefined,
  before: readonly EntryRecord[],
  after: readonly EntryRecord[]
): EntryFacts {
  const isSame =
    before.length === after.length && before.every(({ id }, i) => equalBytes(id, (after[i] as EntryRecord).id))
  return {
    cause: last === undefined ? undefined : { record: last.id, author: last.stamp.author },
    isSame,
    hasVersions: before.length > 1 || after.length > 1
  }
}

function movesDirectories({ rows, names }: BatchResult): boolean {
  for (const { entry, old, row } of rows.all()) {
    if (row.kind !== 'directory' && old?.kind !== 'directory') continue
    const [from, to] = [shownKey(entry, old), shownKey(entry, row)]
    if (old !== undefined && !(from !== undefined && to !== undefined && equalBytes(from, to))) return true
  }
  for (const { before, after } of names.values()) if (before?.byteLength === 0 || after?.byteLength === 0) return true
  return false
}
