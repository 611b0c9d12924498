import { Limiter } from '../util/limiter.ts'

/**
 * Runs `work` for the items of a stream, at most `atOnce` of them concurrently. While that many are under way, no
 * further item is read. After the first failure of the work or of the stream, no further item is begun. It is thrown
 * once all work under way has ended too.
 *
 * An item takes as many slots as `slotsOf` says, at least one. While it waits for them, no further item is read.
 */
export async function forEachAtOnce<T>(
  source: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
  slotsOf: (item: T) => number = () => 1
): Promise<void> {
  const slots = new Limiter(atOnce)
  const failures: unknown[] = []
  const start = async (item: T, releases: ReadonlyArray<() => void>): Promise<void> => {
    try {
      await work(item)
    } catch (error) {
      failures.push(error)
    } finally {
      for (const release of releases) release()
    }
  }
  // The first slot of the next item is taken before that item is read.
  let release = await slots.acquire()
  try {
    for await (const item of source) {
      if (failures.length > 0) break
      const more = Math.min(slotsOf(item), atOnce) - 1
      void start(item, more > 0 ? [release, await slots.acquire(more)] : [release])
      release = await slots.acquire()
    }
  } catch (error) {
    // The stream has failed, perhaps because of what failed before.
    failures.push(error)
  }
  release()
  // Once we hold all slots, nothing is under way.
  await slots.acquire(atOnce)
  if (failures.length > 0) throw failures[0]
}
