import { byteLengthOf } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { DeadlineError, type DfsError } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import {
  CALL_TIMEOUT_MS,
  EMPTY_ANSWER_CREDIT_BYTES,
  IN_FLIGHT_MAX,
  RATE_WINDOW_MS,
  SLOWEST_BYTES_PER_S,
  STALL_MS
} from './constants.ts'
import { DisconnectedError, ProtocolError, RefusedError, STATUSES, type WireStatus } from './errors.ts'
import { encodeFrame, type Frame, FrameReader, fieldsOf } from './frames.ts'
import type { ByteStream } from './host.ts'
import type { PeerFaults } from './peer-faults.ts'
import { StallTimer } from './stall-timer.ts'

export interface CallOptions {
  body?: readonly Uint8Array[]
  signal?: AbortSignal | undefined
  /**
   * How long the other side may be silent. Set more than the default for a call whose answer takes longer than a disk
   * read.
   */
  timeoutMs?: number
  /** The bytes that the answer will carry, or that the other side must move before it can answer. */
  expectBytes?: number
  /**
   * Called with the length of the answer's body before memory is taken for it. If it returns false, the body is dropped
   * and the call fails with a `RefusedError` (`over-limit`), which is no fault of the peer.
   */
  admit?: ((bodyBytes: number) => boolean) | undefined
}

export interface Reply {
  fields: Record<string, unknown>
  body: Uint8Array
}

export interface CallClientOptions {
  clock: Clock
  log: Logger
  /** Blames the peer when it breaks the protocol or keeps us waiting too long. */
  faults: PeerFaults
  /** The most bytes that the body of an answer may hold. */
  responseBytesMax: number
  /**
   * If calls wait and the peer delivers less than this for `RATE_WINDOW_MS`, it has failed. Leave it out for a protocol
   * whose answers are small and take time to prepare.
   */
  leastBytesPerS?: number | undefined
}

/**
 * A request that has not been answered yet. It keeps its slot until the answer comes, even after its caller has left.
 */
interface Call extends Limits {
  resolve: (reply: Reply) => void
  reject: (error: unknown) => void
  /** Releases the slot. */
  release: () => void
  admit: ((bodyBytes: number) => boolean) | undefined
  isGivenUp: boolean
}

/** How long a call may take, and the byte counts from which that is computed. */
interface Limits {
  /** Monotonic time. */
  startedAtMs: number
  /** How long the call may take in total. */
  limitMs: number
  /** How long the stream may be silent during the call. */
  stallMs: number
  /** The number of bytes that the request sends. */
  sentBytes: number
  /** The number of bytes that the request waits for. */
  expectBytes: number
}

/** The asking end of one stream. Requests go out one after another; their answers come in any order. */
export class CallClient {
  readonly #stream: ByteStream
  readonly #options: CallClientOptions
  readonly #slots = new Limiter(IN_FLIGHT_MAX)
  readonly #writes = new Limiter(1)
  readonly #calls = new Map<number, Call>()
  readonly #endListeners: Array<() => void> = []
  readonly #stallTimer: StallTimer
  #sentBytes = 0
  #expectBytes = 0
  #nextId = 1
  /** When bytes last arrived; monotonic time. */
  #lastDataAtMs: number
  /**
   * The time of the last check of the rate, or of the moment when calls began to wait, and the bytes that the peer has
   * delivered since.
   */
  #rateSinceMs = 0
  #rateBytes = 0
  #ended: DfsError | undefined

  constructor(stream: ByteStream, options: CallClientOptions) {
    this.#stream = stream
    this.#options = options
    this.#lastDataAtMs = options.clock.monotonic()
    this.#stallTimer = new StallTimer(options.clock, () => this.#checkStalls())
    const reader = new FrameReader(
      options.responseBytesMax,
      frame => this.#onResponse(frame),
      (header, bodyBytes) => this.#wantsBody(header, bodyBytes)
    )
    stream.onEnd(() => this.#end(new DisconnectedError('the stream ended before the answer')))
    stream.onData(bytes => {
      if (this.#ended !== undefined) return
      this.#lastDataAtMs = options.clock.monotonic()
      this.#rateBytes += bytes.byteLength
      try {
        options.faults.read(stream.peer, () => reader.push(bytes))
      } catch (error) {
        this.#end(error as ProtocolError)
      }
    })
  }

  onEnd(listener: () => void): void {
    if (this.#ended === undefined) this.#endListeners.push(listener)
    else listener()
  }

  /** See `Callers.call`. An abort takes effect immediately, but the slot becomes free only when the answer comes. */
  async call(fields: Record<string, unknown>, options: CallOptions): Promise<Reply> {
    const { signal, body = [], admit } = options
    const id = this.#nextId++
    const frame = encodeFrame({ ...fields, id }, body)
    const release = await this.#slots.acquire(1, signal)
    if (this.#ended !== undefined || signal?.aborted === true) {
      release()
      throw this.#ended ?? signal?.reason
    }
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const call: Call = { ...this.#reserve(options), resolve, reject, release, admit, isGivenUp: false }
    if (this.#calls.size === 0) this.#restartRate()
    this.#calls.set(id, call)
    this.#stallTimer.start()
    const onAbort = (): void => {
      call.isGivenUp = true
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      void this.#send(id, call, frame)
      return await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Counts the bytes of a call, and computes its time limits. */
  #reserve({ body = [], timeoutMs = STALL_MS, expectBytes = 0 }: CallOptions): Limits {
    const sentBytes = byteLengthOf(body)
    this.#sentBytes += sentBytes
    this.#expectBytes += expectBytes
    return {
      startedAtMs: this.#options.clock.monotonic(),
      // On a slow link, a call has to wait for the bytes of all calls that were made before it.
      limitMs: Math.max(timeoutMs, CALL_TIMEOUT_MS) + transferMs(this.#sentBytes + this.#expectBytes),
      stallMs: timeoutMs + transferMs(this.#sentBytes),
      sentBytes,
      expectBytes
    }
  }

  async #send(id: number, call: Call, frame: readonly Uint8Array[]): Promise<void> {
    try {
      await this.#writes.run(async () => {
        if (this.#ended !== undefined) return
        // Nobody is waiting for this call any more, and its request has not been sent.
        if (call.isGivenUp) this.#forget(id, call)
        else await this.#stream.write(frame)
      })
    } catch (cause) {
      this.#options.log('a request to %s could not be sent: %s', this.#stream.peer, reasonOf(cause))
      this.#end(new DisconnectedError('the request could not be sent', { cause }))
    }
  }

  /** Returns true if somebody waits for this answer. The body of any other answer must not take memory. */
  #wantsBody(header: unknown, bodyBytes: number): boolean {
    const { id, status } = fieldsOf(header)
    const call = this.#callOf(id)
    return status === 'ok' && !call.isGivenUp && call.admit?.(bodyBytes) !== false
  }

  #onResponse({ header, body, isBodyDropped }: Frame): void {
    const { id, status, ...fields } = fieldsOf(header)
    const call = this.#callOf(id)
    if (!STATUSES.includes(status as WireStatus)) throw new ProtocolError('an answer with an unknown status')
    this.#forget(id as number, call)
    if (body.byteLength === 0) this.#rateBytes += EMPTY_ANSWER_CREDIT_BYTES
    if (status !== 'ok') call.reject(new RefusedError(status as WireStatus, fields))
    else if (isBodyDropped) call.reject(new RefusedError('over-limit'))
    else call.resolve({ fields, body })
  }

  #callOf(id: unknown): Call {
    const call = this.#calls.get(id as number)
    if (call === undefined) throw new ProtocolError('an answer to a request that was not sent')
    return call
  }

  #forget(id: number, call: Call): void {
    this.#calls.delete(id)
    this.#sentBytes -= call.sentBytes
    this.#expectBytes -= call.expectBytes
    call.release()
  }

  /**
   * Ends the whole stream if one call waits too long, because the calls after it would wait in vain. Calls whose
   * callers have left are checked too. Otherwise their slots would never become free again. Returns true if any call is
   * left to check.
   */
  #checkStalls(): boolean {
    const nowMs = this.#options.clock.monotonic()
    const isLate = ({ startedAtMs, limitMs, stallMs }: Limits): boolean =>
      nowMs - Math.max(startedAtMs, this.#lastDataAtMs) > stallMs || nowMs - startedAtMs > limitMs
    const error = [...this.#calls.values()].some(isLate)
      ? new DeadlineError('the peer did not answer in time')
      : this.#isTooSlow(nowMs)
        ? new DeadlineError('the peer delivers data too slowly')
        : undefined
    if (error === undefined) return this.#calls.size > 0
    this.#options.faults.blame(this.#stream.peer, error)
    this.#end(error)
    return false
  }

  /** Looks at what the peer has delivered in the last `RATE_WINDOW_MS`, during which calls have always been waiting. */
  #isTooSlow(nowMs: number): boolean {
    const { leastBytesPerS } = this.#options
    const passedMs = nowMs - this.#rateSinceMs
    if (leastBytesPerS === undefined || this.#calls.size === 0 || passedMs < RATE_WINDOW_MS) return false
    const isTooSlow = this.#rateBytes < (leastBytesPerS * passedMs) / 1000
    this.#restartRate()
    return isTooSlow
  }

  #restartRate(): void {
    this.#rateSinceMs = this.#options.clock.monotonic()
    this.#rateBytes = 0
  }

  #end(error: DfsError): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#stallTimer.stop()
    this.#options.log.trace('a stream to %s ended; calls under way: %d', this.#stream.peer, this.#calls.size)
    for (const { reject, release } of this.#calls.values()) {
      release()
      reject(error)
    }
    this.#calls.clear()
    this.#stream.abort(error)
    for (const listener of this.#endListeners.splice(0)) listener()
  }
}

function transferMs(bytes: number): number {
  return (bytes / SLOWEST_BYTES_PER_S) * 1000
}
