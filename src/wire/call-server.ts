import type { PeerId } from '../format/peer-id.ts'
import { byteLengthOf } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { DeadlineError, isAbort } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { CALL_TIMEOUT_MS, IN_FLIGHT_MAX, SLOWEST_BYTES_PER_S, STALL_MS } from './constants.ts'
import { DisconnectedError, ProtocolError, RefusedError, type WireStatus } from './errors.ts'
import { encodeFrame, type Frame, FrameReader, fieldsOf } from './frames.ts'
import type { ByteStream } from './host.ts'
import type { PeerFaults } from './peer-faults.ts'
import { StallTimer } from './stall-timer.ts'

export interface Request {
  peer: PeerId
  /** Header fields of the request, unchecked. */
  fields: Record<string, unknown>
  body: Uint8Array
  /** Fires when the stream ends, because then nobody waits for the answer any more. */
  signal: AbortSignal
}

export interface Response {
  status: WireStatus
  fields?: Record<string, unknown>
  body?: readonly Uint8Array[]
  /** Called once the answer has been sent, or it is certain that it never will be. */
  onDone?: () => void
}

export interface CallServerOptions {
  clock: Clock
  log: Logger
  /** Blames a peer that breaks the protocol. */
  faults: PeerFaults
  /** The most bytes that the body of a request may hold. */
  requestBytesMax: number
  /** Returns true if this peer may use this protocol. Called for each request. */
  mayAsk: (peer: PeerId) => boolean
  answer: (request: Request) => Promise<Response>
}

/**
 * How many requests of one stream may be in progress. A request is in progress until the last byte of its answer has
 * been sent. The limit is one more than the asker may have under way, because the asker may have read a whole answer
 * before we know that all of it has been sent.
 */
const SERVED_MAX = IN_FLIGHT_MAX + 1

/**
 * The answering end of one stream. It ends the stream if the peer leaves a request unfinished or an answer unread for
 * too long, so that neither stays in memory for ever.
 */
export class CallServer {
  readonly #stream: ByteStream
  readonly #options: CallServerOptions
  readonly #reader: FrameReader
  readonly #ended = new AbortController()
  readonly #writes = new Limiter(1)
  readonly #stallTimer: StallTimer
  #served = 0
  /** When bytes last arrived. This and the two times below are monotonic. */
  #lastDataAtMs = 0
  /** When the first bytes of the incomplete request arrived. */
  #partialSinceAtMs: number | undefined
  /** The time by which the answer that is being written must have been sent. */
  #writeDueAtMs: number | undefined

  /** `onEnd` is called once, when the stream has ended for any reason. */
  constructor(stream: ByteStream, options: CallServerOptions, onEnd: () => void = () => {}) {
    this.#stream = stream
    this.#options = options
    this.#reader = new FrameReader(options.requestBytesMax, frame => this.#onRequest(frame))
    this.#stallTimer = new StallTimer(options.clock, () => this.#checkStalls())
    stream.onEnd(() => {
      this.#stallTimer.stop()
      this.#ended.abort(new DisconnectedError('the stream ended'))
      onEnd()
    })
    stream.onData(bytes => this.#onData(bytes))
  }

  #onData(bytes: Uint8Array): void {
    if (this.#ended.signal.aborted) return
    try {
      this.#options.faults.read(this.#stream.peer, () => this.#reader.push(bytes))
    } catch (error) {
      this.#abort(error as ProtocolError)
      return
    }
    this.#lastDataAtMs = this.#options.clock.monotonic()
    this.#partialSinceAtMs = this.#reader.isPartial ? (this.#partialSinceAtMs ?? this.#lastDataAtMs) : undefined
    if (this.#partialSinceAtMs !== undefined) this.#stallTimer.start()
  }

  #onRequest({ header, body }: Frame): void {
    this.#partialSinceAtMs = undefined
    const { id, ...fields } = fieldsOf(header)
    if (!Number.isSafeInteger(id)) throw new ProtocolError('a request without an id')
    // An honest asker limits its own requests. One that does not could make us hold any number of bodies.
    if (this.#served >= SERVED_MAX) throw new ProtocolError('more requests under way than the protocol allows')
    this.#served++
    void this.#respond(id as number, fields, body)
  }

  async #respond(id: number, fields: Record<string, unknown>, body: Uint8Array): Promise<void> {
    let response: Response | undefined
    try {
      response = await this.#answer(fields, body)
      if (this.#ended.signal.aborted) return
      const frame = encodeFrame({ ...response.fields, id, status: response.status }, response.body)
      await this.#writes.run(() => this.#write(frame), { signal: this.#ended.signal })
    } catch (error) {
      this.#onResponseFailed(error as Error)
    } finally {
      this.#served--
      response?.onDone?.()
    }
  }

  #onResponseFailed(error: Error): void {
    const { log, faults } = this.#options
    const { peer } = this.#stream
    if (this.#ended.signal.aborted) {
      log.trace('an answer to %s was not sent, its stream has ended: %s', peer, reasonOf(error))
      return
    }
    if (error instanceof ProtocolError) faults.blame(peer, error)
    else log('an answer to %s could not be sent: %s', peer, reasonOf(error))
    this.#abort(error)
  }

  async #answer(fields: Record<string, unknown>, body: Uint8Array): Promise<Response> {
    const { peer } = this.#stream
    const { mayAsk, answer, log } = this.#options
    try {
      if (!mayAsk(peer)) throw new RefusedError('not-admitted')
      return await answer({ peer, fields, body, signal: this.#ended.signal })
    } catch (error) {
      if (error instanceof ProtocolError) throw error
      if (error instanceof RefusedError) log.trace('refused a request of %s: %s', peer, error.status)
      else log('could not answer a request of %s: %s', peer, reasonOf(error))
      return { status: error instanceof RefusedError ? error.status : isAbort(error) ? 'busy' : 'internal' }
    }
  }

  async #write(frame: readonly Uint8Array[]): Promise<void> {
    const limitMs = CALL_TIMEOUT_MS + (byteLengthOf(frame) / SLOWEST_BYTES_PER_S) * 1000
    this.#writeDueAtMs = this.#options.clock.monotonic() + limitMs
    this.#stallTimer.start()
    try {
      await this.#stream.write(frame)
    } finally {
      this.#writeDueAtMs = undefined
    }
  }

  /** Ends the stream if the peer has kept it waiting for too long. Returns true if anything is left to check. */
  #checkStalls(): boolean {
    const nowMs = this.#options.clock.monotonic()
    const [partialSinceAtMs, writeDueAtMs] = [this.#partialSinceAtMs, this.#writeDueAtMs]
    const longestMs = CALL_TIMEOUT_MS + (this.#options.requestBytesMax / SLOWEST_BYTES_PER_S) * 1000
    const isStalled = partialSinceAtMs !== undefined && nowMs - this.#lastDataAtMs > STALL_MS
    const isSlow = partialSinceAtMs !== undefined && nowMs - partialSinceAtMs > longestMs
    const isUnread = writeDueAtMs !== undefined && nowMs > writeDueAtMs
    if (!isStalled && !isSlow && !isUnread) return partialSinceAtMs !== undefined || writeDueAtMs !== undefined
    const error = new DeadlineError(
      isUnread ? 'the peer does not read our answers' : 'the peer does not finish its request'
    )
    this.#options.log('ended a stream of %s: %s', this.#stream.peer, reasonOf(error))
    this.#abort(error)
    return false
  }

  /** Ends the stream because its peer has opened another. */
  replace(): void {
    this.#abort(new DisconnectedError('the peer asks on newer streams'))
  }

  #abort(error: Error): void {
    this.#stallTimer.stop()
    this.#stream.abort(error)
    this.#ended.abort(error)
  }
}
