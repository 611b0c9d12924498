import type { PeerId } from '../format/peer-id.ts'
import { byteLengthOf } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { DeadlineError, isAbort } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import { CALL_TIMEOUT_MS, IN_FLIGHT_MAX, SLOWEST_BYTES_PER_S, STALL_MS } from './constants.ts'
import { DisconnectedError, ProtocolError, RefusedError, type WireStatus } from './errors.ts'
import { encodeFrame, type Frame, FrameReader, fieldsOf } from './frames.ts'
import type { ByteStream } from './host.ts'
import { StallTimer } from './stall-timer.ts'

export interface Request {
  peer: PeerId
  /** Header fields of the request, unchecked. */
  fields: Record<string, unknown>
  body: Uint8Array
  /** Fires when the stream ends: nobody waits for the answer any more. */
  signal: AbortSignal
}

export interface Response {
  status: WireStatus
  fields?: Record<string, unknown>
  body?: readonly Uint8Array[]
}

export interface CallServerOptions {
  clock: Clock
  /** The most that the body of a request may hold. */
  requestBytesMax: number
  /** Asked for each request: whether this peer may speak this protocol. */
  mayAsk: (peer: PeerId) => boolean
  answer: (request: Request) => Promise<Response>
  /** Told when a peer breaks the protocol. */
  onFault?: ((peer: PeerId) => void) | undefined
}

/**
 * Requests of one stream that are being answered, the answer's way out included. One more than the asker may have under
 * way: it can have read an answer to its end before we know that the last of it has left.
 */
const SERVED_MAX = IN_FLIGHT_MAX + 1

/** The answering end of one stream. What it holds for a peer that neither finishes a request nor reads is bounded in time. */
export class CallServer {
  readonly #stream: ByteStream
  readonly #options: CallServerOptions
  readonly #reader: FrameReader
  readonly #ended = new AbortController()
  readonly #writes = new Limiter(1)
  readonly #watch: StallTimer
  #served = 0
  #lastDataMs = 0
  /** When the request that is still coming in began. */
  #partialMs: number | undefined
  /** By when the answer that is going out must have left. */
  #writeByMs: number | undefined

  constructor(stream: ByteStream, options: CallServerOptions) {
    this.#stream = stream
    this.#options = options
    this.#reader = new FrameReader(options.requestBytesMax, frame => this.#onRequest(frame))
    this.#watch = new StallTimer(options.clock, () => this.#look())
    stream.onEnd(() => {
      this.#watch.stop()
      this.#ended.abort(new DisconnectedError('the stream ended'))
    })
    stream.onData(bytes => this.#onData(bytes))
  }

  #onData(bytes: Uint8Array): void {
    if (this.#ended.signal.aborted) return
    try {
      this.#reader.push(bytes)
    } catch (error) {
      this.#fault(error as ProtocolError)
      return
    }
    this.#lastDataMs = this.#options.clock.monotonic()
    this.#partialMs = this.#reader.isPartial ? (this.#partialMs ?? this.#lastDataMs) : undefined
    if (this.#partialMs !== undefined) this.#watch.start()
  }

  #onRequest({ header, body }: Frame): void {
    this.#partialMs = undefined
    const { id, ...fields } = fieldsOf(header)
    if (!Number.isSafeInteger(id)) throw new ProtocolError('request without an id')
    // The asker counts its own; one that does not would have us hold as many bodies as it likes.
    if (this.#served >= SERVED_MAX) throw new ProtocolError('more requests under way than the protocol allows')
    this.#served++
    void this.#respond(id as number, fields, body)
  }

  async #respond(id: number, fields: Record<string, unknown>, body: Uint8Array): Promise<void> {
    try {
      const response = await this.#answer(fields, body)
      if (this.#ended.signal.aborted) return
      const frame = encodeFrame({ ...response.fields, id, status: response.status }, response.body)
      await this.#writes.run(() => this.#write(frame), this.#ended.signal)
    } catch (error) {
      if (error instanceof ProtocolError) this.#fault(error)
      else if (!this.#ended.signal.aborted) this.#abort(error as Error)
    } finally {
      this.#served--
    }
  }

  async #answer(fields: Record<string, unknown>, body: Uint8Array): Promise<Response> {
    const { peer } = this.#stream
    try {
      if (!this.#options.mayAsk(peer)) throw new RefusedError('not-admitted')
      return await this.#options.answer({ peer, fields, body, signal: this.#ended.signal })
    } catch (error) {
      if (error instanceof ProtocolError) throw error
      return { status: error instanceof RefusedError ? error.status : isAbort(error) ? 'busy' : 'internal' }
    }
  }

  async #write(frame: readonly Uint8Array[]): Promise<void> {
    const limitMs = CALL_TIMEOUT_MS + (byteLengthOf(frame) / SLOWEST_BYTES_PER_S) * 1000
    this.#writeByMs = this.#options.clock.monotonic() + limitMs
    this.#watch.start()
    try {
      await this.#stream.write(frame)
    } finally {
      this.#writeByMs = undefined
    }
  }

  #look(): boolean {
    const now = this.#options.clock.monotonic()
    const isHalf = this.#partialMs !== undefined && now - this.#lastDataMs > STALL_MS
    const isSlow =
      this.#partialMs !== undefined &&
      now - this.#partialMs > CALL_TIMEOUT_MS + (this.#options.requestBytesMax / SLOWEST_BYTES_PER_S) * 1000
    const isUnread = this.#writeByMs !== undefined && now > this.#writeByMs
    if (!isHalf && !isSlow && !isUnread) return this.#partialMs !== undefined || this.#writeByMs !== undefined
    this.#abort(
      new DeadlineError(isUnread ? 'the peer does not read our answers' : 'the peer does not end its request')
    )
    return false
  }

  #fault(error: ProtocolError): void {
    if (this.#ended.signal.aborted) return
    this.#options.onFault?.(this.#stream.peer)
    this.#abort(error)
  }

  #abort(error: Error): void {
    this.#watch.stop()
    this.#stream.abort(error)
    this.#ended.abort(error)
  }
}
