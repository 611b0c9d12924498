import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import type { Stamp } from '../../format/stamp.ts'
import { batchesOf } from '../../util/batches.ts'
import { LIST_BATCH, LIST_NAMES_MAX, LIST_NAMES_MIN } from '../constants.ts'
import { deletedAt } from '../heads.ts'
import { SortedNames } from '../listing/sorted-names.ts'
import { STAMP_BYTES } from '../rows/keys.ts'
import type { Tree } from '../tree.ts'
import type { DeletedEntry } from './deleted-entries.ts'
import type { PastRows } from './past-rows.ts'
import { isOnWay, type PastDirectory, type PastTree } from './past-tree.ts'

export interface PastListingOptions {
  tree: Pick<Tree, 'child' | 'entry'>
  past: PastTree
  rows: PastRows
}

export interface PastListOptions {
  signal?: AbortSignal | undefined
  recursive?: boolean | undefined
}

/** A deleted entry whose path shows nothing now, or something of another kind. */
export interface ListedDeleted extends Pick<DeletedEntry, 'id' | 'kind'> {
  path: Path
  /** The stamp of the delete. */
  deleted: Stamp
}

/** What a listing knows of one name. */
interface Name {
  name: string
  /** The deleted entry of this name that was there last; undefined if there is none. */
  latest: DeletedEntry | undefined
  /** The same of each kind. */
  latestOf: { [kind in DeletedEntry['kind']]?: DeletedEntry }
  hasDirectory: boolean
}

/** Separates a name from the rest of a text. No name contains this character, and no character is less. */
const NUL = '\0'
const DIRECTORY = 'd'
const FILE = 'f'

/**
 * Lists what was deleted from directories, in the order of the names' bytes, in bounded memory: as `Listing` does, it
 * sorts the names of a directory, a limited number at a time. If several deleted entries had one name, it lists the
 * last one. A name that shows a file is left out unless a directory had it, and one that shows a directory
 * unless a file had it: the past of the others is found from what is there.
 */
export class PastListing {
  readonly #options: PastListingOptions

  constructor(options: PastListingOptions) {
    this.#options = options
  }

  /** Yields the deleted entries of a directory; with `recursive`, also those of all directories below, deleted or not. */
  async *list(
    directory: PastDirectory,
    { signal, recursive = false }: PastListOptions = {}
  ): AsyncGenerator<ListedDeleted> {
    const way = [this.#names(directory, { signal, recursive, open: 0 })]
    const directories = [directory]
    try {
      for (let names = way.at(-1); names !== undefined; names = way.at(-1)) {
        signal?.throwIfAborted()
        const at = directories.at(-1) as PastDirectory
        const { done, value } = await names.next()
        if (done === true) {
          way.pop()
          directories.pop()
          continue
        }
        const { name, latest, hasDirectory } = value
        const listed = latest && (await this.#listedOf(latest, [...at.path, name]))
        if (listed !== undefined) yield listed
        if (!recursive || !hasDirectory) continue
        const child = await this.#options.past.childDirectory(at, name)
        if (child === undefined || isOnWay(child, directories)) continue
        directories.push(child)
        way.push(this.#names(child, { signal, recursive, open: way.length }))
      }
    } finally {
      for (const names of way) await names.return(undefined)
    }
  }

  /** Yields the names of a directory that are worth a look, in order. */
  async *#names(
    directory: PastDirectory,
    { signal, recursive, open }: { signal: AbortSignal | undefined; recursive: boolean; open: number }
  ): AsyncGenerator<Name> {
    const namesMax = Math.max(LIST_NAMES_MIN, Math.floor(LIST_NAMES_MAX / 2 ** open))
    for (let after = '', isEnd = false; !isEnd; ) {
      const sorted = new SortedNames(namesMax)
      for await (const key of this.#keys(directory, recursive)) {
        signal?.throwIfAborted()
        if (key > after) sorted.add(key)
      }
      const keys = sorted.take()
      isEnd = !sorted.isCut
      after = pastName(keys.at(-1) ?? '')
      for await (const some of batchesOf(groupedByName(keys), LIST_BATCH)) {
        yield* await Promise.all(some.map(name => this.#withoutShown(directory, name)))
        // Let other work run: nearly all reads of the index resolve in the same turn of the event loop.
        await new Promise(resolve => setImmediate(resolve))
      }
    }
  }

  /** Yields a text for each deleted entry: name, NUL, inverted stamp, kind, entry. */
  async *#keys({ ids }: PastDirectory, recursive: boolean): AsyncGenerator<string> {
    const { rows } = this.#options
    for await (const { name, id, kind, lastThere } of rows.deleted(ids)) {
      const rest = Buffer.concat([lastThere.map(byte => 0xff ^ byte), id])
      yield nameKey(name) + rest.toString('latin1') + (kind === 'directory' ? DIRECTORY : FILE)
    }
    if (recursive) for await (const name of rows.directoryNames(ids)) yield nameKey(name)
  }

  /** Returns what a listing says of an entry; undefined if it has come back meanwhile. */
  async #listedOf({ id, kind }: DeletedEntry, path: Path): Promise<ListedDeleted | undefined> {
    const found = await this.#options.tree.entry(id)
    return found?.shown.isDeleted === true ? { id, kind, path, deleted: deletedAt(found.row.state) } : undefined
  }

  async #withoutShown(directory: PastDirectory, name: Name): Promise<Name> {
    if (name.latest === undefined) return name
    const shown = await this.#options.tree.child(directory, name.name)
    if (shown === undefined) return name
    return { ...name, latest: name.latestOf[shown.kind === 'file' ? 'directory' : 'file'] }
  }
}

/** Groups sorted texts of `#keys` by their names. */
async function* groupedByName(keys: readonly string[]): AsyncGenerator<Name> {
  let group: Name | undefined
  for (const key of keys) {
    const end = key.indexOf(NUL)
    const name = Buffer.from(key.slice(0, end), 'latin1').toString('utf8')
    if (group !== undefined && group.name !== name) yield group
    if (group?.name !== name) group = { name, latest: undefined, latestOf: {}, hasDirectory: false }
    const rest = key.slice(end + 1)
    const entry = rest === '' ? undefined : decodeRest(rest)
    if (entry?.kind !== 'file') group.hasDirectory = true
    group.latest ??= entry
    if (entry !== undefined) group.latestOf[entry.kind] ??= entry
  }
  if (group !== undefined) yield group
}

function decodeRest(rest: string): DeletedEntry {
  const bytes = Buffer.from(rest, 'latin1')
  return {
    lastThere: bytes.subarray(0, STAMP_BYTES).map(byte => 0xff ^ byte),
    id: bytes.subarray(STAMP_BYTES, STAMP_BYTES + ENTRY_ID_BYTES),
    kind: rest.endsWith(DIRECTORY) ? 'directory' : 'file'
  }
}

function nameKey(name: string): string {
  return Buffer.from(`${name}${NUL}`, 'utf8').toString('latin1')
}

/** Returns a text after all keys of the name in this key, and before those of the next name. */
function pastName(key: string): string {
  return `${key.slice(0, key.indexOf(NUL))}\u0001`
}
