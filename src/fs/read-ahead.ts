/**
 * Maps a stream, working on several items concurrently, and yields the results in order. At most `window` results have
 * been started and not yet taken, which bounds the memory. If the consumer stops early, the work under way is aborted.
 */
export function readAhead<In, Out>(
  window: number,
  outer: AbortSignal | undefined,
  work: (item: In, signal: AbortSignal) => Promise<Out>
): (source: AsyncIterable<In>) => AsyncGenerator<Out> {
  return async function* (source) {
    const controller = new AbortController()
    const signal = outer === undefined ? controller.signal : AbortSignal.any([outer, controller.signal])
    const items = source[Symbol.asyncIterator]()
    const underWay: Array<Promise<Out>> = []
    let isEnded = false
    try {
      for (;;) {
        while (!isEnded && underWay.length < window) {
          const next = await items.next()
          if (next.done === true) {
            isEnded = true
            break
          }
          const result = work(next.value, signal)
          // If this work fails, the error is thrown when the reader reaches its result. If the reader never reaches it,
          // then an earlier error was thrown or the reader stopped.
          result.catch(() => {})
          underWay.push(result)
        }
        const first = underWay.shift()
        if (first === undefined) return
        yield await first
      }
    } finally {
      // An abort creates an error with a stack trace, so abort only if some work is still under way.
      if (underWay.length > 0) controller.abort()
      await items.return?.(undefined)
    }
  }
}
