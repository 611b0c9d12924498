/**
 * Works on the items of a stream, so many at once. The first failure, of the work or of the stream, ends it once what is
 * under way has ended too.
 */
export async function forEachAtOnce<T>(
  source: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>
): Promise<void> {
  const failures: unknown[] = []
  let running = 0
  let onEnd: (() => void) | undefined
  const run = async (item: T): Promise<void> => {
    running++
    try {
      await work(item)
    } catch (error) {
      failures.push(error)
    }
    running--
    onEnd?.()
  }
  const untilFewerThan = async (most: number): Promise<void> => {
    while (running >= most) await new Promise<void>(resolve => (onEnd = resolve))
  }
  try {
    for await (const item of source) {
      if (failures.length > 0) break
      void run(item)
      await untilFewerThan(atOnce)
    }
  } finally {
    await untilFewerThan(1)
  }
  if (failures.length > 0) throw failures[0]
}
