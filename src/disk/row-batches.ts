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
 * Groups neighbouring rows of one type into batches of bounded size. Payloads are copied, so a batch remains valid
 * after the next one is read.
 */
export async function* rowBatches(
  rows: AsyncIterable<PlacedRow>,
  rowsMax: number,
  bytesMax: number
): AsyncGenerator<PlacedRow[]> {
  let batch: PlacedRow[] = []
  let bytes = 0
  for await (const row of rows) {
    if (batch.length > 0 && (batch[0]?.type !== row.type || batch.length === rowsMax || bytes >= bytesMax)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push({ ...row, payload: Buffer.from(row.payload) })
    bytes += row.payload.byteLength
  }
  if (batch.length > 0) yield batch
}
