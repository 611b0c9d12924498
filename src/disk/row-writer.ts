import { Batcher } from '../util/batcher.ts'
import type { Limiter } from '../util/limiter.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { NoSpaceError } from './errors.ts'
import type { IndexCursor } from './index-cursor.ts'
import type { IndexDb } from './index-db.ts'
import type { Place } from './place.ts'
import type { Projections } from './projections.ts'
import type { RefusedRows } from './refused-rows.ts'
import type { StoredRow } from './row-projection.ts'
import type { SegmentUsage } from './segment-usage.ts'
import type { Segments } from './segments.ts'

export interface RowWriterOptions {
  segments: Segments
  index: IndexDb
  projections: Projections
  cursor: IndexCursor
  usage: SegmentUsage
  refused: RefusedRows
  /**
   * A write takes one slot, and a move takes all, so that nothing is written between the check that a row is live and
   * its move.
   */
  gate: Limiter
  /** Frees some space on a full disk. Resolves to true if it did, so that a write is worth another attempt. */
  makeRoom: () => Promise<boolean>
  log: Logger
}

/** More slots than there can ever be concurrent writes. A move takes all of them. */
export const WRITES_MAX: number = 2 ** 31

/**
 * Makes rows durable and waits until they are in the index. A write that fails is undone before its error is thrown. If
 * the index cannot be written, no row is made durable in the first place.
 */
export class RowWriter {
  readonly #options: RowWriterOptions
  readonly #writes = new Set<Promise<unknown>>()

  constructor(options: RowWriterOptions) {
    this.#options = options
  }

  /**
   * Makes rows of one type durable and indexed. Returns their places. After an error none of them counts. `bodies` are
   * the bodies of the rows, if they have any.
   */
  write(type: number, payloads: readonly Uint8Array[], bodies?: readonly Uint8Array[]): Promise<Place[]> {
    return this.change(() => this.#write(type, payloads, bodies))
  }

  /** Runs a change while no other one runs `alone`. */
  async change<T>(work: () => Promise<T>): Promise<T> {
    // This is checked before the gate, because a write would wait there while the index is opened again.
    this.#options.index.assertWritable()
    const writing = this.#options.gate.run(work)
    this.#writes.add(writing)
    try {
      return await writing
    } finally {
      this.#writes.delete(writing)
    }
  }

  /** Runs `work` while no other write is under way. `work` must write with the function that is passed to it. */
  async alone(work: (write: RowWriter['write']) => Promise<void>, signal?: AbortSignal): Promise<void> {
    const release = await this.#options.gate.acquire(WRITES_MAX, signal)
    try {
      await work((type, payloads, bodies) => this.#write(type, payloads, bodies))
    } finally {
      release()
    }
  }

  /** Resolves when no write is under way and the cursor of the last write is saved. */
  async settled(): Promise<void> {
    // Each write reports its error to its caller.
    await Promise.allSettled(this.#writes)
    await this.#savings.settled()
  }

  async #write(type: number, payloads: readonly Uint8Array[], bodies?: readonly Uint8Array[]): Promise<Place[]> {
    // The index may have failed since the first check, and a move makes no such check.
    this.#options.index.assertWritable()
    try {
      return await this.#writeOnce(type, payloads, bodies)
    } catch (error) {
      const { index, makeRoom, log } = this.#options
      log('could not write rows of type %d (%d): %s', type, payloads.length, reasonOf(error))
      // If it was the index that found no space, it has to be opened again first.
      if (!(error instanceof NoSpaceError && index.state === 'open' && (await makeRoom()))) throw error
    }
    return this.#writeOnce(type, payloads, bodies)
  }

  async #writeOnce(type: number, payloads: readonly Uint8Array[], bodies?: readonly Uint8Array[]): Promise<Place[]> {
    const { segments, projections, cursor, refused } = this.#options
    const from = segments.end
    const appending = segments.append(payloads.map((payload, i) => ({ type, payload, body: bodies?.[i] })))
    cursor.begin(from)
    let rows: StoredRow[] = []
    try {
      const places = await appending
      rows = places.map((place, i) => ({ place, payload: payloads[i] as Uint8Array }))
      await projections.apply(type, rows)
    } catch (error) {
      // Another write of the same batch may have failed alone. Then these rows are indexed, and this write succeeded.
      const isIndexed = await refused.undo(rows.map(row => ({ ...row, type })))
      if (!isIndexed) {
        if (segments.isUndone) cursor.end(from)
        else cursor.hold(from)
        throw error
      }
    }
    cursor.end(from)
    if (cursor.isHeld && segments.isUndone) cursor.release()
    const places = rows.map(({ place }) => place)
    this.#saveCursor(places)
    return places
  }

  // Nobody waits for this. If it fails, the next start reads these rows again, which changes nothing. The cursor is
  // nevertheless saved right away, because rows that are read again much later may include claims that have ended
  // since.
  #saveCursor(places: Place[]): void {
    this.#savings.add(places).catch(error => this.#options.log('could not save the cursor: %s', reasonOf(error)))
  }

  readonly #savings = new Batcher<Place[], null>(
    async written => {
      const { index, cursor, usage } = this.#options
      const listed = written.flat().flatMap(({ segment }) => usage.listOps(segment))
      await index.batch([cursor.saveOp(), ...listed])
      return written.map(() => null)
    },
    { itemsMax: Number.POSITIVE_INFINITY }
  )
}
