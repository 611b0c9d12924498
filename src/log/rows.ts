import { IndexOps } from '../disk/index-sink.ts'
import { isSamePlace } from '../disk/place.ts'
import type { RowProjection, StoredRow } from '../disk/row-projection.ts'
import type { Kind } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import { idOf, type SomeStatement } from '../format/statement.ts'
import { shortHex } from '../util/bytes.ts'
import { Limiter } from '../util/limiter.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { type Aside, Asides } from './asides.ts'
import type { EarlyStatements } from './early.ts'
import { isProjected } from './is-projected.ts'
import { type Entry, keyOf } from './keys.ts'
import { LostStatements, type LostStatementsOptions } from './lost.ts'
import type { NewestStamps } from './newest-stamps.ts'
import type { Positions } from './positions.ts'
import type { AcceptedListener, AcceptedStatement, LoggedStatement, Projection, Signer } from './projection.ts'
import { SignedCounts } from './signed-counts.ts'
import { isOfStatement } from './statement-fault.ts'
import { decodeStatementRow, encodeStatementRow, type RowStatement } from './statement-row.ts'
import { StatementTable } from './statement-table.ts'

/** A statement on its way into the log, and the peer that sent it; null if it is our own. */
export interface NewStatement extends Signer {
  statement: SomeStatement
  from: PeerId | null
}

/** A statement whose row is in a segment, and the peer that sent it. */
type StoredStatement = LoggedStatement &
  Pick<NewStatement, 'from'> & {
    isOurs: boolean
    /** True if the row was read from its segment: it is projected once more, or a compaction has moved it. */
    isRead: boolean
  }

export interface StatementRowsOptions {
  store: LostStatementsOptions['store']
  positions: Positions
  early: Pick<EarlyStatements, 'removeFrom' | 'accepted'>
  newest: Pick<NewestStamps, 'project'>
  log: Logger
  onAccepted: AcceptedListener
}

/**
 * Projects the rows of the log into the index: the place of each statement, and the rows that the projections compute
 * from it. Both go into one batch, so that after a crash the index holds either all rows of a statement or none.
 *
 * A row is durable before it is projected, so no row may ever stop the node. A statement that cannot be projected is
 * set aside, and the others of its batch are projected without it.
 */
export class StatementRows implements RowProjection {
  readonly asides: Asides
  readonly lost: LostStatements
  readonly counts: SignedCounts
  readonly #options: StatementRowsOptions
  readonly #table: StatementTable
  readonly #projections: Projection[] = []
  /** Only one batch may be under way, since the totals are read before they are written. */
  readonly #batches = new Limiter(1)
  // Keyed by the buffer of the row, so that a row which was just written can be indexed without decoding it. If two
  // peers send the same statement at the same time, each of the two rows keeps its own sender.
  readonly #written = new WeakMap<Uint8Array, RowStatement & Pick<NewStatement, 'from'>>()

  constructor(options: StatementRowsOptions) {
    this.#options = options
    const { store, positions } = options
    this.asides = new Asides(store.index)
    this.counts = new SignedCounts(store.index)
    this.#table = new StatementTable({
      store,
      positions,
      counts: this.counts,
      isLost: id => this.lost.has(id),
      wasCovered: id => this.lost.wasCovered(id)
    })
    this.lost = new LostStatements({ ...options, alone: work => this.alone(work) })
  }

  register(projection: Projection): void {
    this.#projections.push(projection)
  }

  projectionOf(kind: SomeStatement['kind']): Projection | undefined {
    return this.#projections.find(({ kinds }) => kinds.has(kind as Kind))
  }

  /** Returns the payload of a statement's row. */
  encode(item: RowStatement & Pick<NewStatement, 'from'>): Uint8Array {
    const payload = encodeStatementRow(item)
    this.#written.set(payload, item)
    return payload
  }

  async project(rows: readonly StoredRow[], replay: boolean): Promise<void> {
    await this.#projectSome(await this.#decode(rows), replay)
  }

  async isLive({ payload, place }: StoredRow): Promise<boolean> {
    const row = decodeStatementRow(payload)
    const [entry] = row.statement instanceof Error ? [] : await this.#table.entriesOf([row.statement])
    const at = entry?.place ?? (await this.asides.placeOf(row.id))
    return at !== undefined && isSamePlace(at, place)
  }

  async isIndexed({ payload, place }: StoredRow): Promise<boolean> {
    const { statement, id, ...facts } = decodeStatementRow(payload)
    if (statement instanceof Error) return (await this.asides.placeOf(id)) !== undefined
    const projection = this.projectionOf(statement.kind)
    const item = { ...facts, statement, place } as AcceptedStatement
    if (projection?.isReplaced?.(item.statement, item.author) === true) return true
    // The row of a statement that was forgotten is dead, but stays in its segment until that is rewritten.
    if (!(await this.#options.store.index.has(keyOf(statement)))) return (await this.areForgotten([id])).includes(true)
    return (await isProjected(projection, item)) || (await this.asides.placeOf(id)) !== undefined
  }

  /**
   * Projects statements that the log has once more. The log's own tables do not change. A statement that cannot be
   * projected is skipped, and keeps the rows that it has.
   */
  again(items: readonly LoggedStatement[]): Promise<void> {
    return this.#batches.run(() =>
      this.#projectAgain(items.map(item => ({ ...item, from: null, isOurs: false, isRead: true })))
    )
  }

  /** Runs `work` between two batches. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#batches.run(work)
  }

  /** Removes from the index statements that others have replaced. Their rows are dead from then on. */
  async remove(items: readonly LoggedStatement[]): Promise<void> {
    await this.#batches.run(async () => {
      const ops = new IndexOps()
      await this.#table.remove(ops, items)
      await this.#options.store.index.batch(ops.all)
    })
  }

  /** As `StatementTable.forget`. It must run inside `alone`. */
  forgetIn(ops: IndexOps, items: readonly LoggedStatement[]): Promise<Uint8Array[]> {
    return this.#table.forget(ops, items)
  }

  areForgotten(ids: readonly Uint8Array[]): Promise<boolean[]> {
    return this.#table.areForgotten(ids)
  }

  /**
   * Returns the statements of some rows. If a statement occurs twice, its last row counts. Rows that cannot be read are
   * set aside.
   */
  async #decode(rows: readonly StoredRow[]): Promise<StoredStatement[]> {
    const items = new Map<string, StoredStatement>()
    for (const { payload, place } of rows) {
      const written = this.#written.get(payload)
      if (written !== undefined) {
        items.set(idOf(written.statement), { ...written, place, isOurs: written.from === null, isRead: false })
        continue
      }
      const { statement, id, ...facts } = decodeStatementRow(payload)
      if (statement instanceof Error) await this.#setAside({ id, place, author: facts.author }, statement)
      else items.set(idOf(statement), { ...facts, statement, place, from: null, isOurs: false, isRead: true })
    }
    return [...items.values()]
  }

  /** Projects statements in one batch, or one by one if one of them cannot be projected. */
  async #projectSome(items: readonly StoredStatement[], replay: boolean): Promise<void> {
    try {
      await this.#commit(items, this.#projections, replay)
    } catch (error) {
      if (!isOfStatement(error)) throw error
      const refused: unknown[] = []
      for (const item of items)
        await this.#projectOne(item, replay).catch(cause => {
          if (!isOfStatement(cause)) throw cause
          refused.push(cause)
        })
      if (refused.length > 0) throw refused[0]
    }
  }

  /**
   * Projects one statement, or sets it aside. A statement of our own that cannot be projected is refused instead, since
   * otherwise the verb that signed it would report a success that has no effect. Its row is then undone.
   */
  async #projectOne(item: StoredStatement, replay: boolean): Promise<void> {
    try {
      await this.#commit([item], this.#projections, replay)
    } catch (error) {
      if (item.isOurs || !isOfStatement(error)) throw error
      await this.#setAside({ id: item.statement.id, place: item.place, author: item.author }, error)
      await this.#commit([item], [], replay)
    }
  }

  #commit(items: readonly StoredStatement[], projections: readonly Projection[], replay: boolean): Promise<void> {
    return this.#batches.run(() => this.#commitAlone(items, projections, replay))
  }

  async #commitAlone(
    all: readonly StoredStatement[],
    projections: readonly Projection[],
    replay: boolean
  ): Promise<void> {
    const { store, early } = this.#options
    const ops = new IndexOps()
    const items = await this.#withoutForgotten(ops, all)
    const entries = await this.#table.entriesOf(items.map(({ statement }) => statement))
    await this.#logOps(ops, items, entries)
    for (const projection of projections) await this.#projectionOps(ops, projection, items)
    await store.index.batch(ops.all)
    const statements = items.map(({ statement }) => statement)
    early.accepted(statements)
    const fresh = items.filter(({ statement }, i) => entries[i] === undefined || this.lost.has(statement.id))
    this.lost.returned(statements)
    if (!replay) this.#announce(fresh, projections)
  }

  /**
   * Returns the statements that were not forgotten. One may be forgotten after a compaction has found its row live, and
   * before the moved row is projected. It stays forgotten, and the moved row is dead.
   */
  async #withoutForgotten(ops: IndexOps, items: readonly StoredStatement[]): Promise<readonly StoredStatement[]> {
    const read = items.filter(({ isRead }) => isRead)
    if (read.length === 0) return items
    const areForgotten = await this.areForgotten(read.map(({ statement }) => statement.id))
    const forgotten = new Set(read.filter((_, i) => areForgotten[i] === true))
    ops.addAll(this.#options.store.markDead([...forgotten].map(({ place }) => place)))
    return items.filter(item => !forgotten.has(item))
  }

  async #projectAgain(items: readonly StoredStatement[]): Promise<void> {
    const ops = new IndexOps()
    try {
      for (const projection of this.#projections) await this.#projectionOps(ops, projection, items)
    } catch (error) {
      if (!isOfStatement(error)) throw error
      if (items.length > 1) for (const item of items) await this.#projectAgain([item])
      else this.#options.log('a statement could not be projected again: %s', reasonOf(error))
      return
    }
    if (items.length > 0) await this.#options.store.index.batch(ops.all)
  }

  /** Adds the changes to the tables of the log itself. `entries` is what the index says about each statement. */
  async #logOps(
    ops: IndexOps,
    items: readonly StoredStatement[],
    entries: ReadonlyArray<Entry | undefined>
  ): Promise<void> {
    const { early, newest } = this.#options
    await this.#table.add(ops, items, entries)
    const statements = items.map(({ statement }) => statement)
    await early.removeFrom(ops, statements)
    this.lost.returnIn(ops, statements)
    await newest.project(items, ops)
  }

  /** Adds the changes that one projection makes for its statements. */
  async #projectionOps(ops: IndexOps, projection: Projection, items: readonly StoredStatement[]): Promise<void> {
    const added = itemsOf(projection, items)
    if (added.length === 0) return
    await projection.project({ added, removed: [] }, ops)
    await this.#table.cover(ops, projection.coveredIn?.(ops) ?? [], items)
    // These changes come last, because even a statement that has just arrived may be replaced already.
    await this.#table.remove(ops, projection.replacedBy?.(added) ?? [])
  }

  async #setAside(aside: Aside, error: unknown): Promise<void> {
    const { store, log } = this.#options
    const ops = new IndexOps()
    Asides.add(ops, aside)
    await store.index.batch(ops.all)
    this.asides.applied(aside)
    log.error('statement %s is set aside, since it could not be projected: %s', shortHex(aside.id), reasonOf(error))
  }

  #announce(items: readonly StoredStatement[], projections: readonly Projection[]): void {
    for (const [from, own] of Map.groupBy(items, item => item.from)) {
      for (const projection of projections) {
        const added = itemsOf(projection, own)
        if (added.length > 0) projection.applied?.({ added, removed: [] }, from)
      }
      this.#options.onAccepted(own, from)
    }
  }
}

function itemsOf({ kinds }: Projection, items: readonly StoredStatement[]): Array<AcceptedStatement & StoredStatement> {
  return items.filter(({ statement }) => kinds.has(statement.kind as Kind)) as Array<
    AcceptedStatement & StoredStatement
  >
}
