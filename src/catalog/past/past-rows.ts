import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { equalBytes } from '../../util/bytes.ts'
import { mergeSorted } from '../listing/merge-sorted.ts'
import type { Names } from '../names.ts'
import { type DirectoryTable, decodeDirectoryValue, directoryKey, nameHashOf } from '../rows/keys.ts'
import { type DeletedEntry, deletedEntryOf } from './deleted-entries.ts'

export interface PastRowsOptions {
  index: Pick<IndexDb, 'range'>
  names: Names
}

/** A deleted entry of a directory, with its name. */
export interface NamedDeleted extends DeletedEntry {
  name: string
}

/** Reads the rows of directories that are about deleted entries, and the names of all directories below them. */
export class PastRows {
  readonly #options: PastRowsOptions

  constructor(options: PastRowsOptions) {
    this.#options = options
  }

  /** Yields the deleted entries of some directories. */
  async *deleted(
    parents: readonly Uint8Array[],
    tables: readonly DirectoryTable[] = [TABLES.deletedFiles, TABLES.deletedDirectories]
  ): AsyncGenerator<NamedDeleted> {
    for (const parent of parents)
      for (const table of tables)
        for await (const { key, value } of this.#options.index.range(directoryKey(table, parent)))
          yield { ...deletedEntryOf(key, value), name: this.#nameIn(key, value) }
  }

  /** Yields the names under which some directories have directories, deleted or not, each name once. */
  async *directoryNames(parents: readonly Uint8Array[]): AsyncGenerator<string> {
    const rows = parents.flatMap(parent => [
      this.#directories(TABLES.children, parent),
      this.#directories(TABLES.deletedDirectories, parent)
    ])
    let last: Uint8Array | undefined
    for await (const { hash, name } of mergeSorted(rows, (a, b) => Buffer.compare(a.hash, b.hash))) {
      if (last === undefined || !equalBytes(last, hash)) yield name
      last = hash
    }
  }

  async *#directories(table: DirectoryTable, parent: Uint8Array): AsyncGenerator<{ hash: Uint8Array; name: string }> {
    for await (const { key, value } of this.#options.index.range(directoryKey(table, parent)))
      if (decodeDirectoryValue(value).kind === 'directory')
        yield { hash: nameHashOf(key), name: this.#nameIn(key, value) }
  }

  #nameIn(key: Uint8Array, value: Uint8Array): string {
    return this.#options.names.open(decodeDirectoryValue(value).sealedName, nameHashOf(key))
  }
}
