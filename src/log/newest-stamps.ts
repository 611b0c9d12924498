import { type IndexDb, indexKey } from '../disk/index-db.ts'
import type { IndexSink } from '../disk/index-sink.ts'
import { TABLES } from '../disk/tables.ts'
import { decodeHlc, encodeHlc, type Hlc } from '../format/stamp.ts'
import { equalBytes, toHex } from '../util/bytes.ts'

/** A statement whose signature has been verified, and who signed it. */
interface Signed {
  statement: { kind: string; hlc: Hlc }
  author: Uint8Array
}

/**
 * The newest stamp of each author that has reached this member, statuses aside. An author's status names its own newest
 * stamp, so a member that compares the two notices that news of this author was withheld from it.
 *
 * There is one row per author: key `N` ‖ author (32 bytes), value hlc (8 bytes). Nothing is kept in memory, because a
 * row is read once per batch. Statements that are set aside or no longer count have reached this member too, so the
 * stamp in a row never decreases.
 */
export class NewestStamps {
  readonly #index: Pick<IndexDb, 'get'>

  constructor(index: Pick<IndexDb, 'get'>) {
    this.#index = index
  }

  /** Returns the newest stamp of an author, or undefined if this member has nothing but statuses from it. */
  async of(author: Uint8Array): Promise<Hlc | undefined> {
    const value = await this.#index.get(keyOf(author))
    return value === undefined ? undefined : decodeHlc(value)
  }

  /** Writes the rows of the authors of one batch. */
  async project(items: readonly Signed[], sink: IndexSink): Promise<void> {
    for (const { author, hlc } of newestOf(items)) {
      const before = await this.of(author)
      if (before === undefined || before < hlc) sink.put(keyOf(author), encodeHlc(hlc))
    }
  }
}

function newestOf(items: readonly Signed[]): Iterable<{ author: Uint8Array; hlc: Hlc }> {
  const newest = new Map<string, { author: Uint8Array; hlc: Hlc }>()
  // The statements of a batch are often all of one author, whose key is then turned into text once.
  let last: { author: Uint8Array; hlc: Hlc } | undefined
  for (const { author, statement } of items) {
    if (statement.kind === 'status') continue
    if (last === undefined || !equalBytes(last.author, author)) {
      const key = toHex(author)
      last = newest.get(key) ?? { author, hlc: statement.hlc }
      newest.set(key, last)
    }
    if (statement.hlc > last.hlc) last.hlc = statement.hlc
  }
  return newest.values()
}

function keyOf(author: Uint8Array): Uint8Array {
  return indexKey(TABLES.newestStamps, author)
}
