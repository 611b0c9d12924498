import { Batcher } from '../util/batcher.ts'
import { COMMIT_ROWS_MAX, PROJECT_ROWS_MAX } from './constants.ts'
import type { RowProjection, StoredRow } from './row-projection.ts'

/** The projections of all row types, each with the queue through which newly written rows reach it. */
export class Projections {
  readonly #byType = new Map<number, { projection: RowProjection; queue: Batcher<StoredRow[], null> }>()

  register(type: number, projection: RowProjection): void {
    const queue = new Batcher<StoredRow[], null>(
      async groups => {
        await projection.project(groups.flat(), false)
        return groups.map(() => null)
      },
      // The rows of one write stay together, so that all of them are indexed or none.
      { itemsMax: COMMIT_ROWS_MAX, bytesMax: PROJECT_ROWS_MAX, sizeOf: rows => rows.length }
    )
    this.#byType.set(type, { projection, queue })
  }

  /** Returns undefined for a type that this version does not know. */
  get(type: number): RowProjection | undefined {
    return this.#byType.get(type)?.projection
  }

  /** Applies newly written rows. Rows that are waiting at the same time are applied together. */
  async apply(type: number, rows: StoredRow[]): Promise<void> {
    await this.#byType.get(type)?.queue.add(rows)
  }
}
