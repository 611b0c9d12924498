import type { Connection, Stream } from '@libp2p/interface'
import { type Logger, reasonOf } from '../util/logger.ts'
import { SLICE_BYTES } from './constants.ts'
import { DisconnectedError } from './errors.ts'
import type { ByteStream } from './host.ts'

/**
 * A libp2p 3 stream as a `ByteStream`. It works around three traps of libp2p: `onDrain` resolves immediately from its
 * second call on, the `drain` event belongs to the whole connection, and a receiver buffers all bytes of one `send`. So
 * we send slices, and after a `send` that returns false we wait until this stream's own buffer is empty.
 */
export class Libp2pStream implements ByteStream {
  readonly #stream: Stream
  readonly peer: string
  readonly address: string
  #end: { error: Error | undefined } | undefined
  #onEnd: ((error: Error | undefined) => void) | undefined
  readonly #wakers = new Set<() => void>()

  constructor(stream: Stream, connection: Connection, log: Logger) {
    this.#stream = stream
    this.peer = connection.remotePeer.toString()
    this.address = connection.remoteAddr.toString()
    const onRemoteClose = (): void => {
      // A remote that has closed its writing end sends no more requests or answers.
      this.#finish(undefined)
      stream.close().catch(error => {
        log.trace('a stream of %s did not close, aborting it: %s', this.peer, reasonOf(error))
        stream.abort(error)
      })
    }
    stream.addEventListener('close', event => this.#finish(event.error))
    stream.addEventListener('remoteCloseWrite', onRemoteClose)
    // The stream may have ended while it was being opened, before we listened. Bytes that arrived before the end are
    // delivered first.
    if (stream.remoteWriteStatus === 'closed') setImmediate(onRemoteClose)
    stream.addEventListener('drain', () => this.#wake())
    stream.addEventListener('idle', () => this.#wake())
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    for (const slice of slices(parts)) {
      if (this.#end !== undefined) throw this.#endError()
      if (this.#send(slice)) continue
      while (this.#stream.writableNeedsDrain && this.#stream.writeBufferLength > 0) {
        await this.#drained()
        if (this.#end !== undefined) throw this.#endError()
      }
    }
  }

  onData(listener: (bytes: Uint8Array) => void): void {
    this.#stream.addEventListener('message', ({ data }) => {
      if (data instanceof Uint8Array) listener(data)
      else for (const part of data) listener(part)
    })
  }

  onEnd(listener: (error: Error | undefined) => void): void {
    this.#onEnd = listener
    const end = this.#end
    if (end !== undefined) queueMicrotask(() => listener(end.error))
  }

  async close(): Promise<void> {
    await this.#stream.close()
  }

  abort(error: Error): void {
    this.#stream.abort(error)
  }

  #send(slice: Uint8Array): boolean {
    try {
      return this.#stream.send(slice)
    } catch (cause) {
      throw new DisconnectedError('the stream is ending', { cause })
    }
  }

  #finish(error: Error | undefined): void {
    if (this.#end !== undefined) return
    this.#end = { error }
    this.#wake()
    this.#onEnd?.(error)
  }

  #drained(): Promise<void> {
    return new Promise(resolve => this.#wakers.add(resolve))
  }

  #wake(): void {
    for (const wake of this.#wakers) wake()
    this.#wakers.clear()
  }

  #endError(): DisconnectedError {
    return new DisconnectedError('the stream has ended', { cause: this.#end?.error })
  }
}

// Yields small parts joined together, and large parts in slices. Only the small parts are copied.
function* slices(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  let small: Uint8Array[] = []
  let smallBytes = 0
  for (const part of parts) {
    if (smallBytes + part.byteLength <= SLICE_BYTES / 4) {
      small.push(part)
      smallBytes += part.byteLength
      continue
    }
    if (smallBytes > 0) yield join(small)
    small = []
    smallBytes = 0
    if (part.byteLength <= SLICE_BYTES / 4) {
      small.push(part)
      smallBytes = part.byteLength
      continue
    }
    for (let start = 0; start < part.byteLength; start += SLICE_BYTES) yield part.subarray(start, start + SLICE_BYTES)
  }
  if (smallBytes > 0) yield join(small)
}

function join(parts: Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
}
