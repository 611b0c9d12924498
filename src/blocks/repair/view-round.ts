import { z } from 'zod'
import { type IndexDb, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { peerIdOf } from '../../format/peer-id.ts'
import type { View } from '../../members/view.ts'
import { equalBytes, NO_BYTES, utf8 } from '../../util/bytes.ts'

const VIEWS_KEY = indexKey(TABLES.meta, utf8('round'))
const CURSOR_KEY = indexKey(TABLES.meta, utf8('round at'))

const bytes = z.instanceof(Uint8Array)
const viewSchema = z.object({
  id: bytes,
  members: z.array(z.tuple([bytes, z.number(), z.string().nullable(), z.boolean(), z.boolean(), z.boolean()]))
})
const viewsSchema = z.object({ now: viewSchema, before: viewSchema.nullable() })

/**
 * The walk of every record under a new view. A record that has no row among the unfinished ones was walked under the view
 * of the last round, or since. So nothing has to be walked again before the view changes, however often this member
 * starts. The index holds the view and the last record that was walked, so that a round goes on after a restart.
 */
export class ViewRound {
  readonly #index: Pick<IndexDb, 'getMany' | 'batch'>
  #now: View | undefined
  /** The view of the round before. */
  #before: View | undefined
  #after: Uint8Array = NO_BYTES
  #isDone = false

  constructor(index: Pick<IndexDb, 'getMany' | 'batch'>) {
    this.#index = index
  }

  /** Reads how far the last round came. With `fromStart`, it begins again. */
  async load({ fromStart }: { fromStart: boolean }): Promise<void> {
    const [views, cursor] = await this.#index.getMany([VIEWS_KEY, CURSOR_KEY])
    if (views === undefined) return
    const { now, before } = viewsSchema.parse(decodeOwn(views))
    this.#now = viewOf(now)
    this.#before = before === null ? undefined : viewOf(before)
    if (fromStart) await this.advance(NO_BYTES)
    else this.#after = cursor?.subarray(1) ?? NO_BYTES
    this.#isDone = !fromStart && cursor?.[0] === 1
  }

  /** False until every record has been walked under the view of this round. */
  get isDone(): boolean {
    return this.#isDone
  }

  /** The id of the last record that was walked; empty if none was. */
  get after(): Uint8Array {
    return this.#after
  }

  /** The view of the last round that came to its end before this one; undefined if there was none. */
  get before(): View | undefined {
    return this.#before
  }

  /** True if the round is about this view. */
  isOf({ id }: View): boolean {
    return this.#now !== undefined && equalBytes(this.#now.id, id)
  }

  /** True until the first round of this index begins. */
  get isFirst(): boolean {
    return this.#now === undefined
  }

  /** Begins a round under a view. */
  async begin(view: View): Promise<void> {
    if (this.#isDone) this.#before = this.#now
    this.#now = view
    this.#after = NO_BYTES
    this.#isDone = false
    const value = encodeCanonical({ now: rowOf(view), before: this.#before === undefined ? null : rowOf(this.#before) })
    await this.#index.batch([
      { type: 'put', key: VIEWS_KEY, value },
      { type: 'del', key: CURSOR_KEY }
    ])
  }

  /** Notes that all records up to this one have been walked. */
  async advance(after: Uint8Array): Promise<void> {
    await this.#index.batch([{ type: 'put', key: CURSOR_KEY, value: Buffer.concat([Uint8Array.of(0), after]) }])
    this.#after = Buffer.from(after)
  }

  /** Notes that all records have been walked. */
  async end(): Promise<void> {
    await this.#index.batch([{ type: 'put', key: CURSOR_KEY, value: Uint8Array.of(1) }])
    this.#isDone = true
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
