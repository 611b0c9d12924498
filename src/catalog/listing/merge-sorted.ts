/** Merges sequences that are each in order into one that is in order. It holds one item of each in memory. */
export function mergeSorted<T>(
  sequences: ReadonlyArray<AsyncGenerator<T>>,
  compare: (a: T, b: T) => number
): AsyncGenerator<T> {
  const [first, second] = sequences
  if (first === undefined) return nothing()
  if (second === undefined) return first
  const half = sequences.length >> 1
  return mergeTwo(mergeSorted(sequences.slice(0, half), compare), mergeSorted(sequences.slice(half), compare), compare)
}

async function* mergeTwo<T>(
  one: AsyncGenerator<T>,
  other: AsyncGenerator<T>,
  compare: (a: T, b: T) => number
): AsyncGenerator<T> {
  try {
    let [a, b] = [await one.next(), await other.next()]
    while (a.done !== true || b.done !== true) {
      if (b.done === true || (a.done !== true && compare(a.value, b.value) <= 0)) {
        yield a.value as T
        a = await one.next()
      } else {
        yield b.value
        b = await other.next()
      }
    }
  } finally {
    await Promise.all([one.return(undefined), other.return(undefined)])
  }
}

async function* nothing(): AsyncGenerator<never> {}
