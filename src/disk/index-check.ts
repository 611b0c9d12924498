import type { Damage } from './damage.ts'
import { RowCorruptError } from './errors.ts'
import { firstCursor, type IndexCursor } from './index-cursor.ts'
import type { IndexDb } from './index-db.ts'
import { type Cursor, isBefore } from './place.ts'
import type { Projections } from './projections.ts'
import type { PlacedRow } from './row.ts'
import type { Segments } from './segments.ts'

export interface IndexCheckOptions {
  segments: Segments
  index: IndexDb
  projections: Projections
  cursor: IndexCursor
  damage: Damage
}

/** Compares rows of the segments with the index, because LevelDB may silently lose a row after a flipped bit. */
export class IndexCheck {
  readonly #options: IndexCheckOptions
  /** The position at which the next leaf begins. */
  #next: Cursor

  constructor(options: IndexCheckOptions) {
    this.#options = options
    this.#next = firstCursor(options.segments.kind)
  }

  /**
   * Compares the next leaf, which is the next `rowsMax` rows. Returns the number of rows that it compared, and whether it
   * has reached the end. After that it starts again at the first row. Throws an `IndexCorruptError` at the first row that
   * the index lacks. Damaged rows do not count.
   */
  async checkLeaf(rowsMax: number): Promise<{ rows: number; isOver: boolean }> {
    const { segments, damage } = this.#options
    let checked = 0
    for await (const row of segments.scan(this.#next, at => damage.report(at))) {
      if (checked === rowsMax) return { rows: checked, isOver: false }
      this.#next = row.next
      checked++
      if (!row.isVoid) await this.assertIndexed(row)
    }
    this.#next = firstCursor(segments.kind)
    return { rows: checked, isOver: true }
  }

  /**
   * Throws an `IndexCorruptError`, and reports it to the owner of the index, if the index lacks a row that it must
   * have.
   */
  async assertIndexed(row: PlacedRow): Promise<void> {
    const { index, projections, cursor } = this.#options
    const projection = projections.get(row.type)
    if (projection === undefined || (await projection.isIndexed(row))) return
    // Rows of writes that are under way, or that failed and could not be undone, need not be in the index yet.
    if (!isBefore(row.place, cursor.position)) return
    // The row may have been replaced or moved since it was read, or its write may have been refused. So we ask the index
    // again, and look at the row again, before we report it.
    if (await projection.isIndexed(row)) return
    if (await this.#isGone(row)) return
    // With its segment, the index forgets what it held of a dead row, which can still be read for a while.
    if (!this.#options.segments.has(row.place.segment)) return
    throw index.reportCorrupt('the index lacks a row')
  }

  /** Returns true if the row is void by now, or damaged. Neither has to be in the index. */
  async #isGone({ place }: PlacedRow): Promise<boolean> {
    try {
      await this.#options.segments.read(place)
      return false
    } catch (error) {
      if (error instanceof RowCorruptError) return true
      throw error
    }
  }
}
