import { type Logger, reasonOf } from '../util/logger.ts'
import { pushAll } from '../util/push-all.ts'
import type { IndexDb } from './index-db.ts'
import type { Place } from './place.ts'
import type { Projections } from './projections.ts'
import type { PlacedRow } from './row.ts'
import type { StoredRow } from './row-projection.ts'
import type { Segments } from './segments.ts'

/** A row of a write that was refused, with the type that says what it means. */
export type RefusedRow = StoredRow & Pick<PlacedRow, 'type'>

export interface RefusedRowsOptions {
  segments: Segments
  index: IndexDb
  projections: Projections
  log: Logger
}

/**
 * Undoes writes whose rows are durable but could not be indexed. A refusal means that nothing happened, so the rows are
 * made void before the caller gets the error.
 *
 * The index may hold such a row nevertheless: LevelDB may find a failed batch in its log when it is opened again. Then
 * the index is corrupt, since it shows what was refused, and it is rebuilt.
 */
export class RefusedRows {
  readonly #options: RefusedRowsOptions
  /** Rows that a failed batch of the index held. They are checked when the index is opened again. */
  readonly #suspects: RefusedRow[] = []

  constructor(options: RefusedRowsOptions) {
    this.#options = options
  }

  /**
   * Makes rows void, except those that the index holds: an indexed row counts, whatever went wrong afterwards. Resolves
   * to true if the index holds all of them and has not failed. In that case the write has succeeded after all. Does not
   * throw: `Segments.isUndone` says whether the disk refused it.
   */
  async undo(rows: readonly RefusedRow[]): Promise<boolean> {
    const { segments, index, log } = this.#options
    const refused: RefusedRow[] = []
    for (const row of rows) if (!(await this.#isLive(row))) refused.push(row)
    if (refused.length < rows.length)
      log('rows of a failed write are indexed, so they stay: %d', rows.length - refused.length)
    if (index.state !== 'open') pushAll(this.#suspects, refused)
    await segments.void(refused.map(({ place }) => place))
    return rows.length > 0 && refused.length === 0 && index.state === 'open'
  }

  /**
   * Throws an `IndexCorruptError`, and reports it, if the index holds a row that was refused. Call this when the index
   * has been opened again. Returns the places of the rows that were refused since the last call.
   */
  async assertNotIndexed(): Promise<Place[]> {
    for (const row of this.#suspects) await this.assertDead(row)
    return this.#suspects.splice(0).map(({ place }) => place)
  }

  /** Throws an `IndexCorruptError`, and reports it, if the index holds this row, which is void. */
  async assertDead(row: RefusedRow): Promise<void> {
    const { projections, index } = this.#options
    if ((await projections.get(row.type)?.isLive(row)) === true)
      throw index.reportCorrupt('the index holds a row that was refused')
  }

  async #isLive(row: RefusedRow): Promise<boolean> {
    const { projections, log } = this.#options
    try {
      return (await projections.get(row.type)?.isLive(row)) ?? false
    } catch (error) {
      // If the index cannot be read, we assume that it did not take the row.
      log('could not ask the index for a row of a failed write: %s', reasonOf(error))
      return false
    }
  }
}
