import type { Damage } from './damage.ts'
import { RowCorruptError } from './errors.ts'
import { FIRST_CURSOR, type IndexCursor } from './index-cursor.ts'
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
  #isVerified = false
  /** The position at which the next leaf begins. */
  #next: Cursor = FIRST_CURSOR

  constructor(options: IndexCheckOptions) {
    this.#options = options
  }

  /** True once every row has been compared with the index, and the index lacked none. Damaged rows do not count. */
  get isVerified(): boolean {
    return this.#isVerified
  }

  /**
   * Compares the next leaf, which is the next `rowsMax` rows. After the last row it starts again at the first. Returns
   * the number of rows that it compared, which is less than `rowsMax` when it has reached the end. Throws an
   * `IndexCorruptError` at the first row that the index lacks.
   */
  async checkLeaf(rowsMax: number): Promise<number> {
    const { segments, damage } = this.#options
    let checked = 0
    for await (const row of segments.scan(this.#next, at => damage.report(at))) {
      if (checked === rowsMax) return checked
      this.#next = row.next
      checked++
      if (!row.isVoid) await this.assertIndexed(row)
    }
    this.#next = FIRST_CURSOR
    this.#isVerified = true
    return checked
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
