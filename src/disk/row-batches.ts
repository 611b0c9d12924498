import { ROWS_IN_ANY_ORDER } from './constants.ts'
import type { PlacedRow } from './row.ts'

/** Yields the rows that are not void. `onVoid` is called with each void row before any later row is yielded. */
export async function* withoutVoid(
  rows: AsyncIterable<PlacedRow>,
  onVoid?: (row: PlacedRow) => Promise<void>
): AsyncGenerator<PlacedRow> {
  for await (const row of rows) {
    if (row.isVoid) await onVoid?.(row)
    else yield row
  }
}

/**
 * Groups rows into batches of one type. A batch has at most `rowsMax` rows, and those that are in memory together have
 * little more than `bytesMax` bytes, as `bytesOf` counts them. Puts of small files write a block, a claim and a statement in turn, so rows of
 * `ROWS_IN_ANY_ORDER` are put together with later ones of their type. Payloads are copied, so a batch remains valid
 * after the next one is read.
 */
export async function* rowBatches(
  rows: AsyncIterable<PlacedRow>,
  rowsMax: number,
  bytesMax: number,
  bytesOf: (row: PlacedRow) => number = ({ payload }) => payload.byteLength
): AsyncGenerator<PlacedRow[]> {
  const batches = new Map<number, PlacedRow[]>()
  let bytes = 0
  for await (const row of rows) {
    if (batches.get(row.type)?.length === rowsMax || bytes >= bytesMax || !mayJoin(row.type, batches)) {
      yield* batches.values()
      batches.clear()
      bytes = 0
    }
    const batch = batches.get(row.type) ?? []
    batches.set(row.type, batch)
    batch.push({ ...row, payload: Buffer.from(row.payload) })
    bytes += bytesOf(row)
  }
  yield* batches.values()
}

/** Returns true if a row of this type may be applied before or after all rows of the other types. */
function mayJoin(type: number, batches: ReadonlyMap<number, unknown>): boolean {
  for (const other of batches.keys())
    if (other !== type && !(ROWS_IN_ANY_ORDER.has(type) && ROWS_IN_ANY_ORDER.has(other))) return false
  return true
}
