import type { Place } from './place.ts'

/** A durable row that has to be applied to the index. */
export interface StoredRow {
  payload: Uint8Array
  place: Place
}

/**
 * Defines what one type of row means for the index. The same code runs when a row is written, when the tail of the
 * segments is read again after a crash, and when the whole index is rebuilt. Therefore applying a row twice must have
 * the same result as applying it once.
 */
export interface RowProjection {
  /** Applies rows in order. `replay` is true while the index is being brought up to date from the segments. */
  project(rows: readonly StoredRow[], replay: boolean): Promise<void>
  /**
   * Returns false once nothing needs the row at this place any more, so that compaction may drop it. No row of any type
   * is written between this call and the move that follows it.
   */
  isLive(row: StoredRow): Promise<boolean>
  /** Returns true if the index holds what this row should have put there, or what a later row put there instead. */
  isIndexed(row: StoredRow): Promise<boolean>
  /**
   * Called when a segment has been removed, with the beginnings of payloads (`MULTIHASH_BYTES`) of its rows that were
   * dead, or void. No row is written meanwhile. It is not called for all of them if there were very many, or after a crash.
   */
  removed?(payloads: readonly Uint8Array[]): Promise<void>
}
