/**
 * Works on the items of a stream, so many at once. The first failure, of the work or of the stream, ends it once what is
 * under way has ended too.
 */
export async function forEachAtOnce<T>(
  source: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>
): Promise<void> {
  const underWay = new Set<Promise<void>>()
  const failures: unknown[] = []
  try {
    for await (const item of source) {
      if (failures.length > 0) break
      const running = work(item)
        .catch(error => {
          failures.push(error)
        })
        .finally(() => underWay.delete(running))
      underWay.add(running)
      if (underWay.size >= atOnce) await Promise.race(underWay)
    }
  } finally {
    await Promise.all(underWay)
  }
  if (failures.length > 0) throw failures[0]
}
