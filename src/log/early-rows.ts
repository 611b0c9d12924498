import { RowCorruptError } from '../disk/errors.ts'
import { indexKey } from '../disk/index-db.ts'
import { IndexOps } from '../disk/index-sink.ts'
import { decodePlace, encodePlace, isSamePlace, type Place } from '../disk/place.ts'
import type { RowProjection, StoredRow } from '../disk/row-projection.ts'
import type { Store } from '../disk/store.ts'
import { TABLES } from '../disk/tables.ts'
import { encodeHlc } from '../format/stamp.ts'
import { type SomeStatement, STATEMENT_ID_BYTES } from '../format/statement.ts'
import { loseIn } from './lost.ts'
import type { Signer } from './projection.ts'
import { decodeStatementRow } from './statement-row.ts'

/** A statement whose stamp is too far ahead. */
export interface EarlyStatement extends Signer {
  statement: SomeStatement
}

/**
 * Projects the rows of early statements. The table is ordered by stamp, so that those whose time comes first are read
 * first.
 */
export class EarlyRows implements RowProjection {
  readonly #store: Pick<Store, 'index' | 'markDead' | 'read' | 'readUnchecked'>
  /** Called with the statements of rows that were just indexed. */
  readonly #onIndexed: (items: readonly EarlyStatement[]) => void

  constructor(
    store: Pick<Store, 'index' | 'markDead' | 'read' | 'readUnchecked'>,
    onIndexed: (items: readonly EarlyStatement[]) => void
  ) {
    this.#store = store
    this.#onIndexed = onIndexed
  }

  async project(rows: readonly StoredRow[]): Promise<void> {
    const ops = new IndexOps()
    const items: EarlyStatement[] = []
    for (const { payload, place } of rows) {
      const item = readRow(payload)
      // A row that cannot be read names no stamp, so it cannot be listed, and is dropped.
      if (item === undefined) continue
      const before = await this.#placeOf(item.statement)
      if (before !== undefined && !isSamePlace(before, place)) ops.addAll(this.#store.markDead([before]))
      ops.put(earlyKey(item.statement), encodePlace(place))
      items.push(item)
    }
    await this.#store.index.batch(ops.all)
    this.#onIndexed(items)
  }

  async isLive({ payload, place }: StoredRow): Promise<boolean> {
    const item = readRow(payload)
    const at = item === undefined ? undefined : await this.#placeOf(item.statement)
    return at !== undefined && isSamePlace(at, place)
  }

  // A statement whose time has come has no row in this table any more, so a missing row cannot be distinguished from
  // one that the index has lost. If it was lost, the statement arrives again from a member that accepts it later, or
  // when the totals show that it is missing.
  async isIndexed(): Promise<boolean> {
    return true
  }

  /** Yields the early statements in the order of their stamps. Notes those whose rows are damaged as lost. */
  async *all(): AsyncGenerator<EarlyStatement> {
    for await (const { key, value } of this.#store.index.range(indexKey(TABLES.early))) {
      const place = decodePlace(value)
      const payload = await this.#store.read(place).catch(error => {
        if (!(error instanceof RowCorruptError)) throw error
        return undefined
      })
      if (payload === undefined) await this.#lose(key, place)
      const item = payload === undefined ? undefined : readRow(payload)
      if (item !== undefined) yield item
    }
  }

  // Its sender was told that it waits here, so nobody sends it again unless it is asked for.
  async #lose(key: Uint8Array, place: Place): Promise<void> {
    const ops = new IndexOps()
    ops.del(key)
    ops.addAll(this.#store.markDead([place]))
    await loseIn(ops, this.#store, { id: key.subarray(-STATEMENT_ID_BYTES), place })
    await this.#store.index.batch(ops.all)
  }

  /** Adds the changes that remove these statements from the table. */
  async remove(statements: readonly SomeStatement[], ops: IndexOps): Promise<void> {
    for (const statement of statements) {
      const place = await this.#placeOf(statement)
      if (place === undefined) continue
      ops.del(earlyKey(statement))
      ops.addAll(this.#store.markDead([place]))
    }
  }

  async #placeOf(statement: SomeStatement): Promise<Place | undefined> {
    const value = await this.#store.index.get(earlyKey(statement))
    return value === undefined ? undefined : decodePlace(value)
  }
}

function readRow(payload: Uint8Array): EarlyStatement | undefined {
  const { statement, author, role } = decodeStatementRow(payload)
  return statement instanceof Error ? undefined : { statement, author, role }
}

function earlyKey({ hlc, id }: SomeStatement): Uint8Array {
  return indexKey(TABLES.early, encodeHlc(hlc), id)
}
