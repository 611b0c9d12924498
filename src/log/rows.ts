import type { IndexOp } from '../disk/index-db.ts'
import { IndexOps } from '../disk/index-sink.ts'
import { decodePlace, encodePlace, isSamePlace, type Place } from '../disk/place.ts'
import type { RowProjection, StoredRow } from '../disk/row-projection.ts'
import type { Store } from '../disk/store.ts'
import type { Kind } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import { type AnyStatement, decodeStatement, idOf } from '../format/statement.ts'
import { concatBytes } from '../util/bytes.ts'
import { keyOf } from './keys.ts'
import { NewestStamps } from './newest-stamps.ts'
import type { AcceptedListener, AcceptedStatement, Projection } from './projection.ts'

/** A statement on its way into the log, and the peer that sent it; null if it is our own. */
export interface NewStatement {
  statement: AnyStatement
  author: Uint8Array
  from: PeerId | null
}

/** A statement whose row is in a segment, and the peer that sent it. */
type StoredStatement = AcceptedStatement & Pick<NewStatement, 'from'>

const AUTHOR_BYTES = 32

/**
 * Projects the rows of the log into the index: where each statement lies, and the rows that the projections compute
 * from it. Both go into one batch, so that after a crash the index holds all of a statement or nothing of it.
 */
export class StatementRows implements RowProjection {
  readonly #store: Pick<Store, 'index' | 'markDead'>
  readonly #onAccepted: AcceptedListener
  readonly #projections: Projection[] = []
  readonly #newest: NewestStamps
  // Keyed by the buffer of the row, so that a row which was just written can be indexed without decoding it. If two
  // peers send the same statement at the same time, each of the two rows keeps its own sender.
  readonly #written = new WeakMap<Uint8Array, NewStatement>()

  constructor(store: Pick<Store, 'index' | 'markDead'>, onAccepted: AcceptedListener) {
    this.#store = store
    this.#onAccepted = onAccepted
    this.#newest = new NewestStamps(store.index)
  }

  register(projection: Projection): void {
    this.#projections.push(projection)
  }

  projectionOf(kind: Kind): Projection | undefined {
    return this.#projections.find(projection => projection.kinds.has(kind))
  }

  /** Returns the payload of a statement's row. */
  encode(item: NewStatement): Uint8Array {
    const payload = concatBytes(item.author, item.statement.bytes)
    this.#written.set(payload, item)
    return payload
  }

  async project(rows: readonly StoredRow[], replay: boolean): Promise<void> {
    const { index } = this.#store
    const items = this.#decode(rows)
    const keys = items.map(({ statement }) => keyOf(statement))
    const before = await index.getMany(keys)
    const ops: IndexOp[] = items.map(({ place }, i) => ({
      type: 'put',
      key: keys[i] as Uint8Array,
      value: encodePlace(place)
    }))
    // The same statement may already be at another place: compaction copied it, a replay repeats it, or two peers sent
    // it at the same time.
    const places = before.map(value => (value === undefined ? undefined : decodePlace(value)))
    ops.push(...this.#store.markDead(places.filter((place, i) => isMoved(place, items[i]?.place)) as Place[]))
    const sink = new IndexOps()
    await this.#newest.project(items, sink)
    for (const op of sink.all) ops.push(op)
    for (const projection of this.#projections) {
      const own = itemsOf(projection, items)
      // These changes come last, because a projection may remove superseded statements, even the one that has just
      // arrived.
      if (own.length > 0) ops.push(...(await projection.project(own)))
    }
    await index.batch(ops)
    if (!replay) this.#announce(items.filter((_, i) => before[i] === undefined))
  }

  async isLive({ payload, place }: StoredRow): Promise<boolean> {
    const value = await this.#store.index.get(keyOf(decodeRow(payload).statement))
    return value !== undefined && isSamePlace(decodePlace(value), place)
  }

  async isIndexed({ payload, place }: StoredRow): Promise<boolean> {
    const item = { ...decodeRow(payload), place }
    const projection = this.projectionOf(item.statement.kind)
    if (projection === undefined || projection.isReplaced?.(item.statement, item.author) === true) return true
    if (!(await this.#store.index.has(keyOf(item.statement)))) return false
    return projection.isIndexed === undefined || projection.isIndexed(item)
  }

  /** Returns the statements of some rows. If a statement occurs twice, its last row counts. */
  #decode(rows: readonly StoredRow[]): StoredStatement[] {
    const items = new Map<string, StoredStatement>()
    for (const { payload, place } of rows) {
      const item = { ...(this.#written.get(payload) ?? { ...decodeRow(payload), from: null }), place }
      items.set(idOf(item.statement), item)
    }
    return [...items.values()]
  }

  #announce(items: readonly StoredStatement[]): void {
    for (const [from, own] of Map.groupBy(items, item => item.from)) {
      for (const projection of this.#projections) {
        const accepted = itemsOf(projection, own)
        if (accepted.length > 0) projection.applied?.(accepted, from)
      }
      this.#onAccepted(own, from)
    }
  }
}

/** Reads the payload of a row. */
export function decodeRow(payload: Uint8Array): { statement: AnyStatement; author: Uint8Array } {
  return { author: payload.subarray(0, AUTHOR_BYTES), statement: decodeStatement(payload.subarray(AUTHOR_BYTES)) }
}

function itemsOf({ kinds }: Projection, items: readonly StoredStatement[]): StoredStatement[] {
  return items.filter(({ statement }) => kinds.has(statement.kind))
}

function isMoved(before: Place | undefined, now: Place | undefined): boolean {
  return before !== undefined && now !== undefined && !isSamePlace(before, now)
}
