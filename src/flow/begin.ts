/**
 * Waits for the first item of a stream, so that a failure before it is thrown here. Returns the whole stream, to be read
 * once. The caller must read it or end it, as `for await` does even if its body throws.
 */
export async function begin<T>(items: AsyncIterable<T>): Promise<AsyncIterableIterator<T>> {
  const rest = items[Symbol.asyncIterator]()
  let first: IteratorResult<T> | undefined = await rest.next()
  const all: AsyncIterableIterator<T> = {
    next: async () => {
      const next = first ?? (await rest.next())
      first = undefined
      return next
    },
    return: async () => {
      await rest.return?.()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => all
  }
  return all
}
