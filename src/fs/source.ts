import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import { concatBytes, utf8 } from '../util/bytes.ts'
import { raceSignal } from '../util/deadline.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { AbortOptions, Source } from './types.ts'

/** A source whose beginning has been read. */
export interface Peeked {
  /** All of its bytes, if it ended within the limit; else undefined. */
  whole: Uint8Array | undefined
  /** All bytes, from the first one. Read it once. */
  all: AsyncIterable<Uint8Array>
}

/**
 * Reads the beginning of a source, to learn whether the source has more than `limit` bytes. When the signal fires, the
 * read that is under way throws its reason at once, even if the source never answers.
 */
export async function peek(source: Source, limit: number, { signal }: AbortOptions = {}): Promise<Peeked> {
  const bytes = typeof source === 'string' ? utf8(source) : source
  if (bytes instanceof Uint8Array && bytes.byteLength <= limit) return { whole: bytes, all: once(bytes) }
  const pieces = bytes instanceof Uint8Array ? once(bytes) : piecesOf(bytes, signal)
  const head: Uint8Array[] = []
  let length = 0
  while (length <= limit) {
    // The source may use the buffer of this piece again for the next one.
    const last = head.pop()
    if (last !== undefined) head.push(new Uint8Array(last))
    const next = await pieces.next()
    if (next.done === true) {
      // Once it has ended, the source may use its last buffer for something else.
      const whole = concatBytes(...head)
      return { whole, all: resume([whole], pieces) }
    }
    head.push(next.value)
    length += next.value.byteLength
  }
  return { whole: undefined, all: resume(head, pieces) }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** One way to read every kind of source. */
interface Reader {
  next(): Promise<IteratorResult<unknown, unknown>>
  /** Tells the source that nothing more is read, so that it can close its files. */
  end(): Promise<unknown>
}

/** Yields the pieces of a source, and ends the source when the reader stops, or when the signal fires. */
async function* piecesOf(
  source: Exclude<Source, string | Uint8Array>,
  signal: AbortSignal | undefined
): AsyncGenerator<Uint8Array> {
  const reader = readerOf(source)
  try {
    for (;;) {
      const { done, value } = await raceSignal(reader.next(), signal)
      if (done === true) return
      // Text has no bytes until somebody chooses an encoding, and a stream that was given one can cut characters.
      if (!(value instanceof Uint8Array))
        throw new InvalidInputError('a source has to yield bytes (Uint8Array), and this one yields something else')
      yield value
    }
  } finally {
    const ended = reader.end()
    // A source that is silent may never come to its end. Its late failure means nothing to a put that was aborted.
    if (signal?.aborted === true) ended.catch(() => {})
    else await ended
  }
}

function readerOf(source: Exclude<Source, string | Uint8Array>): Reader {
  // A program in JavaScript may pass anything.
  if (typeof source !== 'object' || source === null || !isSource(source))
    throw new InvalidInputError(
      'what is put has to be a text, bytes (Uint8Array), a stream, or something that yields bytes'
    )
  if (isWebStream(source)) {
    const reader = source.getReader()
    return { next: () => reader.read(), end: () => reader.cancel() }
  }
  const iterator: AsyncIterator<unknown> | Iterator<unknown> =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  // An iterator does not end while one of its reads is under way, but a stream can be destroyed then.
  const end = source instanceof Readable ? async () => source.destroy() : async () => iterator.return?.()
  return { next: async () => iterator.next(), end }
}

function isSource(source: object): boolean {
  return isWebStream(source) || Symbol.asyncIterator in source || Symbol.iterator in source
}

function isWebStream(source: object): source is ReadableStream<Uint8Array> {
  return 'getReader' in source && typeof source.getReader === 'function'
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
