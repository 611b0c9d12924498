import { concatBytes } from '../util/bytes.ts'
import type { Source } from './types.ts'

/** A source whose beginning has been read. */
export interface Peeked {
  /** All of its bytes, if it ended within the limit; else undefined. */
  whole: Uint8Array | undefined
  /** All bytes, from the first one. Read it once. */
  all: AsyncIterable<Uint8Array>
}

/** Reads the beginning of a source, to learn whether the source has more than `limit` bytes. */
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

/**
 * Yields `head`, then the rest. If the reader stops early it also ends the source, so that the source can close its
 * files.
 */
async function* resume(head: Uint8Array[], rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    // Remove each buffer as it is yielded, so that none stays in memory while the rest is read.
    for (let piece = head.shift(); piece !== undefined; piece = head.shift()) yield piece
    yield* rest
  } finally {
    await rest.return(undefined)
  }
}
