/**
 * Groups a stream into batches of `size` items; the last one may be smaller. It reads no further until the caller asks
 * for the next batch. If the stream fails, the batch that was being filled is dropped.
 */
export async function* batchesOf<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = []
  for await (const item of items) {
    batch.push(item)
    if (batch.length < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}
