/**
 * Maps a stream with several results under way, and yields them in order. At most `window` results are begun and not yet
 * taken, which bounds the memory. If the consumer stops early, the work under way is aborted.
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
          // Its failure is thrown at its turn. If its turn never comes, an earlier failure was thrown or the reader stopped.
          result.catch(() => {})
          underWay.push(result)
        }
        const first = underWay.shift()
        if (first === undefined) return
        yield await first
      }
    } finally {
      // Costs an error with a stack trace, so only if somebody has to hear of it.
      if (underWay.length > 0) controller.abort()
      await items.return?.(undefined)
    }
  }
}
