import type { IndexDb } from '../../disk/index-db.ts'
import type { Log } from '../../log/log.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import { waitUpTo } from '../../util/deadline.ts'
import type { Bodies } from '../bodies.ts'
import { FEED_ORPHANS_EVERY_MS, ORPHAN_MS } from '../constants.ts'
import type { Names } from '../names.ts'
import { decodeTreeRow } from '../rows/entry-row.ts'
import { entryKey, entryOfKey, waitingKey } from '../rows/keys.ts'
import { beginOp, type Cursor, hasBegun, isKnown, newestCursor, readRow } from './feed-rows.ts'
import { NameView } from './name-view.ts'
import { Teller, type Told } from './teller.ts'

export { type Cursor, formatMark, parseMark } from './feed-rows.ts'
export type { Cause } from './steps.ts'
export type { Told } from './teller.ts'

export interface ChangeFeedOptions {
  index: IndexDb
  names: Names
  bodies: Bodies
  log: Pick<Log, 'alone'>
  clock: Clock
  chance: Pick<Chance, 'bytes'>
  /** Returns the position of an epoch in the chain of epochs. */
  depthOf: (epoch: Uint8Array) => number
}

/**
 * A change; or `current`: everything up to this cursor has been told. All changes of one batch come between two
 * cursors.
 */
export type FeedItem = Told | { change: 'current'; cursor: Cursor }

/**
 * Tells watchers what changes in the tree. It reads the rows that the projection wrote (see `FeedRecorder`), one after
 * another, so a watcher that is slow or comes back later is told everything, and holds one row in memory.
 *
 * The content of a file is told as it is when the row is read. If it has changed again since, it is told again later,
 * from another row.
 */
export class ChangeFeed {
  readonly #options: ChangeFeedOptions
  readonly #teller: Teller
  #next = Promise.withResolvers<void>()
  #isClosed = false

  constructor(options: ChangeFeedOptions) {
    this.#options = options
    this.#teller = new Teller({ ...options, view: new NameView(options) })
  }

  /** Call it when the index holds a batch that may have changed the tree. */
  wake(): void {
    const next = this.#next
    this.#next = Promise.withResolvers<void>()
    next.resolve()
  }

  /** Ends all watches. */
  close(): void {
    this.#isClosed = true
    this.wake()
  }

  /** Returns the cursor after everything that has changed so far. */
  newest(): Promise<Cursor> {
    return newestCursor(this.#options.index)
  }

  /**
   * Yields what changes after a cursor, or from now on. The first item is `current`; or a reset of `/`, if the cursor is
   * not one of this history, or so old that its changes are no longer known. Ends when the feed is closed.
   */
  async *follow(since: Cursor | undefined, signal?: AbortSignal): AsyncGenerator<FeedItem> {
    const { index, clock } = this.#options
    // After the reset everything is told again, so the cursor must not be later than the reset.
    const start = await this.#begin()
    let cursor = since ?? start
    if (!(await isKnown(index, cursor))) {
      cursor = start
      yield { change: 'reset', path: [] }
    }
    yield { change: 'current', cursor }
    let lookedAtMs = since === undefined ? clock.now() : await this.#timeOf(cursor)
    while (!this.#isClosed) {
      signal?.throwIfAborted()
      const { promise: woken } = this.#next
      const row = await readRow(this.#options, cursor.number + 1)
      if (row !== undefined) {
        for (const step of row.steps) yield* this.#teller.tell(step)
        cursor = row.cursor
        yield { change: 'current', cursor }
        continue
      }
      const newest = await newestCursor(index)
      const nowMs = clock.now()
      // Rows that this watcher has not read yet have been dropped.
      const isBehind = newest.number > cursor.number && !(await isKnown(index, cursor))
      if (isBehind || (await this.#hasNewOrphans(lookedAtMs, nowMs))) {
        cursor = newest
        yield { change: 'reset', path: [] }
        yield { change: 'current', cursor }
      }
      lookedAtMs = nowMs
      if (newest.number === cursor.number) await waitUpTo(clock, FEED_ORPHANS_EVERY_MS, woken, signal)
    }
  }

  /** Begins the feed, if nobody has watched here before, between two batches. Returns the cursor after the newest row. */
  async #begin(): Promise<Cursor> {
    const { index, log, chance } = this.#options
    if (!(await hasBegun(index)))
      await log.alone(async () => {
        if (!(await hasBegun(index))) await index.batch([beginOp(chance)])
      })
    return newestCursor(index)
  }

  /**
   * Returns true if entries began to show at `/` between two moments, because their parent has been missing for too
   * long. No record causes this, so no row of the feed says it.
   */
  async #hasNewOrphans(afterMs: number, untilMs: number): Promise<boolean> {
    const { index } = this.#options
    for await (const { key, value } of index.range(waitingKey())) {
      const dueMs = Number(Buffer.from(value).readBigUInt64BE()) + ORPHAN_MS
      if (dueMs <= afterMs || dueMs > untilMs) continue
      const row = await index.get(entryKey(entryOfKey(key)))
      // Entries below something that is known and is no directory have shown since they arrived.
      if (row === undefined || decodeTreeRow(row).isSealed) return true
    }
    return false
  }

  /** When the changes up to a cursor were made. If that is not known, it returns the earliest time. */
  async #timeOf({ number }: Cursor): Promise<number> {
    return (await readRow(this.#options, number))?.atMs ?? 0
  }
}
