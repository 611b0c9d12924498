/** Works on the items of a stream, so many at once. The first failure ends it, after what is under way. */
export async function forEachAtOnce<T>(
  source: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>
): Promise<void> {
  const underWay = new Set<Promise<void>>()
  let failure: unknown
  let hasFailed = false
  for await (const item of source) {
    if (hasFailed) break
    const running = work(item).catch(error => {
      failure ??= error
      hasFailed = true
    })
    underWay.add(running)
    void running.finally(() => underWay.delete(running))
    if (underWay.size >= atOnce) await Promise.race(underWay)
  }
  await Promise.all(underWay)
  if (hasFailed) throw failure
}
