import { PassThrough, Readable, Writable } from 'node:stream'
import type { OpenFile, PutResult } from '../fs/types.ts'

/** Returns a stream of the bytes of a file that is being opened. It ends with the error if the file cannot be read. */
export function readStreamOf(opening: () => Promise<OpenFile>): Readable {
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield* await opening()
  }
  return Readable.from(bytes(), { objectMode: false })
}

/**
 * The writing end of a put. `finish` is emitted once the put has resolved. If the stream is destroyed before its end, the
 * put fails, and nothing becomes visible.
 */
export class PutStream extends Writable {
  readonly #pieces = new PassThrough()
  readonly #stored: Promise<PutResult>

  constructor(put: (source: AsyncIterable<Uint8Array>) => Promise<PutResult>) {
    super()
    // The put gets the error by reading, if it has begun to read.
    this.#pieces.on('error', () => {})
    this.#stored = put(this.#pieces)
    this.#stored.catch(error => this.destroy(error))
  }

  override _write(bytes: Uint8Array, _encoding: string, done: () => void): void {
    if (this.#pieces.write(bytes)) done()
    else this.#pieces.once('drain', done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#pieces.end()
    this.#stored.then(() => done(), done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#pieces.writableEnded) this.#pieces.destroy(error ?? new Error('the stream was destroyed before its end'))
    done(error)
  }
}
