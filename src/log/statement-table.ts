import type { IndexDb } from '../disk/index-db.ts'
import type { IndexOps } from '../disk/index-sink.ts'
import { isSamePlace } from '../disk/place.ts'
import type { Store } from '../disk/store.ts'
import { idOf, type SomeStatement } from '../format/statement.ts'
import { NO_BYTES, toHex } from '../util/bytes.ts'
import { classOf, decodeEntry, type Entry, encodeEntry, forgottenKey, keyOf, REST, statementKey } from './keys.ts'
import type { Numbered, Positions } from './positions.ts'
import type { LoggedStatement } from './projection.ts'
import type { SignedCounts } from './signed-counts.ts'

export interface StatementTableOptions {
  store: { index: IndexDb } & Pick<Store, 'markDead'>
  positions: Pick<Positions, 'addTo' | 'removeFrom' | 'discount'>
  counts: Pick<SignedCounts, 'add' | 'remove'>
  /** Returns true if a statement was lost by damage. It still counts for its grant. */
  isLost: (id: Uint8Array) => boolean
  /** Returns true if a statement was lost by damage, and was covered at that time. */
  wasCovered: (id: Uint8Array) => boolean
}

/**
 * The rows of the log itself: where each statement is, and which ones were forgotten. Only one batch may be under way,
 * since the totals are read before they are written.
 */
export class StatementTable {
  readonly #options: StatementTableOptions

  constructor(options: StatementTableOptions) {
    this.#options = options
  }

  /** Returns what the index says about each of these statements. */
  async entriesOf(statements: ReadonlyArray<Pick<SomeStatement, 'kind' | 'id'>>): Promise<Array<Entry | undefined>> {
    const values = await this.#options.store.index.getMany(statements.map(keyOf))
    return values.map(value => (value === undefined ? undefined : decodeEntry(value)))
  }

  /** Adds statements to a batch. `entries` is what the index says about each of them. */
  async add(
    ops: IndexOps,
    items: readonly LoggedStatement[],
    entries: ReadonlyArray<Entry | undefined>
  ): Promise<void> {
    const { store, positions, counts, isLost, wasCovered } = this.#options
    const isNew = items.filter(({ statement }, i) => entries[i] === undefined && !isLost(statement.id))
    const [left, entered]: [Numbered[], Numbered[]] = [[], []]
    for (const [i, item] of items.entries()) {
      const { statement, place, sequence } = item
      const entry = entries[i]
      const isCovered = entry?.isCovered ?? wasCovered(statement.id)
      ops.put(keyOf(statement), encodeEntry({ place, sequence, isCovered }))
      // The same statement may already be at another place: compaction copied it, a replay repeats it, or two peers sent
      // it at the same time.
      if (entry !== undefined && !isSamePlace(entry.place, place)) ops.addAll(store.markDead([entry.place]))
      if (entry?.sequence === sequence) continue
      entered.push(numbered(statement, { sequence, isCovered }))
      if (entry !== undefined) left.push(numbered(statement, entry))
    }
    await positions.removeFrom(ops, left)
    await positions.addTo(ops, entered)
    await counts.add(
      ops,
      isNew.map(({ statement }) => statement)
    )
  }

  /**
   * Takes statements of class 1 that a later one has covered out of the totals. `added` are the statements that this
   * batch adds, and which the index may not have yet.
   */
  async cover(ops: IndexOps, ids: readonly Uint8Array[], added: readonly LoggedStatement[]): Promise<void> {
    if (ids.length === 0) return
    const { store, positions, wasCovered } = this.#options
    const fresh = new Map(added.map(({ statement, place, sequence }) => [idOf(statement), { place, sequence }]))
    const values = await store.index.getMany(ids.map(id => statementKey(REST, id)))
    const covered: Numbered[] = []
    for (const [i, id] of ids.entries()) {
      const value = values[i]
      const before = value === undefined ? undefined : decodeEntry(value)
      const now = fresh.get(toHex(id)) ?? before
      // A statement that was lost by damage has no row, but a note that says whether it was covered.
      if (now === undefined || (before?.isCovered ?? wasCovered(id))) continue
      ops.put(statementKey(REST, id), encodeEntry({ ...now, isCovered: true }))
      covered.push({ class: REST, id, sequence: now.sequence, isCounted: true })
    }
    await positions.discount(ops, covered)
  }

  /** Removes statements. Their rows in the segments are dead from then on. */
  async remove(ops: IndexOps, items: readonly LoggedStatement[]): Promise<void> {
    if (items.length === 0) return
    const { store, positions, counts } = this.#options
    const entries = await this.entriesOf(items.map(({ statement }) => statement))
    const left: Numbered[] = []
    for (const [i, { statement, place, sequence }] of items.entries()) {
      // A statement that arrives in this very batch is not in the index yet.
      const entry = entries[i] ?? { place, sequence, isCovered: false }
      ops.del(keyOf(statement))
      left.push(numbered(statement, entry))
      ops.addAll(store.markDead([entry.place]))
    }
    await positions.removeFrom(ops, left)
    await counts.remove(
      ops,
      items.map(({ statement }) => statement)
    )
  }

  /**
   * Removes statements, and notes that they are not to be fetched again. Those that are not covered stay. Returns the
   * ids of those that were removed.
   */
  async forget(ops: IndexOps, items: readonly LoggedStatement[]): Promise<Uint8Array[]> {
    const entries = await this.entriesOf(items.map(({ statement }) => statement))
    const covered = items.filter((_, i) => entries[i]?.isCovered === true)
    await this.remove(ops, covered)
    const ids = covered.map(({ statement }) => statement.id)
    for (const id of ids) ops.put(forgottenKey(id), NO_BYTES)
    return ids
  }

  /** Returns, for each id, whether its statement was forgotten. */
  async areForgotten(ids: readonly Uint8Array[]): Promise<boolean[]> {
    const values = await this.#options.store.index.getMany(ids.map(forgottenKey))
    return values.map(value => value !== undefined)
  }
}

function numbered(statement: SomeStatement, { sequence, isCovered }: Pick<Entry, 'sequence' | 'isCovered'>): Numbered {
  // A member's statuses replace each other all the time, and not at the same moment on all members.
  const isCounted = statement.kind !== 'status' && !isCovered
  return { class: classOf(statement.kind), id: statement.id, sequence, isCounted }
}
