import { z } from 'zod'
import { type IndexDb, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { peerIdOf } from '../../format/peer-id.ts'
import type { View } from '../../members/view.ts'
import { concatBytes, equalBytes, NO_BYTES, u64be, utf8 } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { ROUND_AGAIN_MS, VIEW_STANDS_MS } from './constants.ts'
import { hasCome } from './due.ts'

const VIEWS_KEY = indexKey(TABLES.meta, utf8('round'))
const CURSOR_KEY = indexKey(TABLES.meta, utf8('round at'))
/**
 * The first byte of the cursor says what follows: the id of the last record walked, or the time at which the round
 * ended.
 */
const AFTER = 0
const ENDED = 1

const bytes = z.instanceof(Uint8Array)
const viewSchema = z.object({
  id: bytes,
  members: z.array(z.tuple([bytes, z.number(), z.string().nullable(), z.boolean(), z.boolean(), z.boolean()]))
})
const viewsSchema = z.object({ now: viewSchema, before: viewSchema.nullable() })

/**
 * The walk of every record under a new view. A record that has no row among the unfinished ones was walked under the
 * view of the last round, or since. So nothing has to be walked again before the view changes, however often this
 * member starts. There is another round after `ROUND_AGAIN_MS` in any case, because the index may have lost a
 * reference: LevelDB can lose rows without an error, and nothing else checks these rows. The index holds the view and
 * the last record that was walked, so that a round continues after a restart.
 */
export class ViewRound {
  readonly #index: Pick<IndexDb, 'getMany' | 'batch'>
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>
  #now: View | undefined
  /** The view of the previous round. */
  #before: View | undefined
  /** The id of another view, and since when it has been current (monotonic time). */
  #next: { id: Uint8Array; sinceMs: number } | undefined
  #after: Uint8Array = NO_BYTES
  /** When the round ended, by the wall clock; undefined until then. */
  #endedAtMs: number | undefined

  constructor(index: Pick<IndexDb, 'getMany' | 'batch'>, clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#index = index
    this.#clock = clock
  }

  /** Reads how far the last round came. With `fromStart`, it begins again. */
  async load({ fromStart }: { fromStart: boolean }): Promise<void> {
    const [views, cursor] = await this.#index.getMany([VIEWS_KEY, CURSOR_KEY])
    if (views === undefined) return
    const { now, before } = viewsSchema.parse(decodeOwn(views))
    this.#now = viewOf(now)
    this.#before = before === null ? undefined : viewOf(before)
    if (fromStart) await this.advance(NO_BYTES)
    else if (cursor?.[0] === ENDED) this.#endedAtMs = Number(Buffer.from(cursor).readBigUInt64BE(1))
    else this.#after = cursor?.subarray(1) ?? NO_BYTES
  }

  /** False until every record has been walked under the view of this round. */
  get isDone(): boolean {
    return this.#endedAtMs !== undefined
  }

  /** The id of the last record that was walked; empty if none was. */
  get after(): Uint8Array {
    return this.#after
  }

  /** The view of the last complete round before this one; undefined if there was none. */
  get before(): View | undefined {
    return this.#before
  }

  /**
   * Returns how much longer the present view must stay the same before a round under it begins; 0 if that is now, and
   * `Infinity` if the last round was about this view.
   */
  waitMs({ id }: View): number {
    const nowMs = this.#clock.monotonic()
    if (this.#now !== undefined && equalBytes(this.#now.id, id)) {
      this.#next = undefined
      return Number.POSITIVE_INFINITY
    }
    if (this.#next === undefined || !equalBytes(this.#next.id, id)) this.#next = { id, sinceMs: nowMs }
    return Math.max(0, this.#next.sinceMs + VIEW_STANDS_MS - nowMs)
  }

  /** True until the first round of this index begins. */
  get isFirst(): boolean {
    return this.#now === undefined
  }

  /** How long it takes until another round is due although the view is the same. */
  get againMs(): number {
    if (this.#endedAtMs === undefined) return Number.POSITIVE_INFINITY
    const [againAtMs, nowMs] = [this.#endedAtMs + ROUND_AGAIN_MS, this.#clock.now()]
    return hasCome(againAtMs, nowMs, ROUND_AGAIN_MS) ? 0 : againAtMs - nowMs
  }

  /** Begins a round under a view. */
  async begin(view: View): Promise<void> {
    if (this.isDone) this.#before = this.#now
    this.#now = view
    this.#after = NO_BYTES
    this.#endedAtMs = undefined
    const value = encodeCanonical({ now: rowOf(view), before: this.#before === undefined ? null : rowOf(this.#before) })
    await this.#index.batch([
      { type: 'put', key: VIEWS_KEY, value },
      { type: 'del', key: CURSOR_KEY }
    ])
  }

  /** Notes that all records up to this one have been walked. */
  async advance(after: Uint8Array): Promise<void> {
    await this.#index.batch([{ type: 'put', key: CURSOR_KEY, value: concatBytes(Uint8Array.of(AFTER), after) }])
    this.#after = Buffer.from(after)
  }

  /** Notes that all records have been walked. */
  async end(): Promise<void> {
    const endedAtMs = Math.floor(this.#clock.now())
    await this.#index.batch([
      { type: 'put', key: CURSOR_KEY, value: concatBytes(Uint8Array.of(ENDED), u64be(endedAtMs)) }
    ])
    this.#endedAtMs = endedAtMs
  }
}

function rowOf({ id, members }: View): object {
  return {
    id,
    members: members.map(({ key, weight, zone, isDraining, isOut, canRead }) => [
      key,
      weight,
      zone,
      isDraining,
      isOut,
      canRead
    ])
  }
}

function viewOf({ id, members }: z.infer<typeof viewSchema>): View {
  return {
    id,
    members: members.map(([key, weight, zone, isDraining, isOut, canRead]) => {
      return { peer: peerIdOf(key), key, weight, zone, isDraining, isOut, isFull: false, canRead }
    })
  }
}
