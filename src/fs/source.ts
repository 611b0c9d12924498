import { concatBytes } from '../util/bytes.ts'

/** Bytes to store, in whatever form a program has them. */
export type Source = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** A source of which the beginning has been read. */
export interface Peeked {
  /** All of it, if it ended within the limit. */
  whole: Uint8Array | undefined
  /** The same bytes from the first one, to be read once. */
  all: AsyncIterable<Uint8Array>
}

/** Reads up to `limit` bytes, to learn whether there are more. */
export async function peek(source: Source, limit: number): Promise<Peeked> {
  if (source instanceof Uint8Array && source.byteLength <= limit) return { whole: source, all: iterate(source) }
  const pieces = iterate(source)
  const head: Uint8Array[] = []
  let length = 0
  while (length <= limit) {
    const next = await pieces.next()
    if (next.done === true) {
      const whole = head.length === 1 ? (head[0] as Uint8Array) : concatBytes(...head)
      return { whole, all: resume([whole], pieces) }
    }
    head.push(next.value)
    length += next.value.byteLength
  }
  return { whole: undefined, all: resume(head, pieces) }
}

async function* iterate(source: Source): AsyncGenerator<Uint8Array> {
  if (source instanceof Uint8Array) yield source
  else yield* source
}

// The generator's own end is passed on: whoever stops early lets the source close what it holds.
async function* resume(head: readonly Uint8Array[], rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* head
    yield* rest
  } finally {
    await rest.return(undefined)
  }
}
