import type { PeerId } from '../format/peer-id.ts'
import { byteLengthOf } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { DeadlineError, type DfsError } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import { CALL_TIMEOUT_MS, IN_FLIGHT_MAX, SLOWEST_BYTES_PER_S, STALL_MS } from './constants.ts'
import { DisconnectedError, ProtocolError, RefusedError, STATUSES, type WireStatus } from './errors.ts'
import { encodeFrame, type Frame, FrameReader, fieldsOf } from './frames.ts'
import type { ByteStream } from './host.ts'
import { StallTimer } from './stall-timer.ts'

export interface CallOptions {
  body?: readonly Uint8Array[]
  signal?: AbortSignal | undefined
  /** How long the other side may be silent. More than the usual for calls whose answer rests on more than a disk read. */
  timeoutMs?: number
  /** The bytes that the answer will carry, or that the other side must move before it can answer. */
  expectBytes?: number
}

export interface Reply {
  fields: Record<string, unknown>
  body: Uint8Array
}

export interface CallClientOptions {
  clock: Clock
  /** The most that the body of an answer may hold. */
  responseBytesMax: number
  /** Told when the peer breaks the protocol, or leaves us waiting. */
  onFault?: ((peer: PeerId) => void) | undefined
}

/** A request that has not been answered yet. It keeps its slot until it is, even after its caller has left. */
interface Call {
  resolve: (reply: Reply) => void
  reject: (error: unknown) => void
  release: () => void
  isGivenUp: boolean
  startedMs: number
  /** What it takes in all, and how long the stream may be silent meanwhile. */
  limitMs: number
  stallMs: number
  /** Bytes that it sends, and that it waits for. */
  sentBytes: number
  expectBytes: number
}

/** The asking end of one stream: requests go out one after another, answers come in any order. */
export class CallClient {
  readonly #stream: ByteStream
  readonly #options: CallClientOptions
  readonly #slots = new Limiter(IN_FLIGHT_MAX)
  readonly #writes = new Limiter(1)
  readonly #calls = new Map<number, Call>()
  readonly #endListeners: Array<() => void> = []
  readonly #watch: StallTimer
  #sentBytes = 0
  #expectBytes = 0
  #nextId = 1
  #lastDataMs: number
  #ended: DfsError | undefined

  constructor(stream: ByteStream, options: CallClientOptions) {
    this.#stream = stream
    this.#options = options
    this.#lastDataMs = options.clock.monotonic()
    this.#watch = new StallTimer(options.clock, () => this.#look())
    const reader = new FrameReader(options.responseBytesMax, frame => this.#onResponse(frame))
    stream.onEnd(() => this.#end(new DisconnectedError('the stream ended before the answer')))
    stream.onData(bytes => {
      if (this.#ended !== undefined) return
      this.#lastDataMs = options.clock.monotonic()
      try {
        reader.push(bytes)
      } catch (error) {
        options.onFault?.(stream.peer)
        this.#end(error as ProtocolError)
      }
    })
  }

  onEnd(listener: () => void): void {
    if (this.#ended === undefined) this.#endListeners.push(listener)
    else listener()
  }

  /** As `Callers.call` says. An abort is heeded at once; the slot comes back with the answer. */
  async call(fields: Record<string, unknown>, options: CallOptions): Promise<Reply> {
    const { signal, body = [], timeoutMs = STALL_MS, expectBytes = 0 } = options
    const id = this.#nextId++
    const frame = encodeFrame({ ...fields, id }, body)
    const release = await this.#slots.acquire(1, signal)
    if (this.#ended !== undefined) {
      release()
      throw this.#ended
    }
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const sentBytes = byteLengthOf(body)
    this.#sentBytes += sentBytes
    this.#expectBytes += expectBytes
    const call: Call = {
      resolve,
      reject,
      release,
      isGivenUp: false,
      startedMs: this.#options.clock.monotonic(),
      // Over a thin link it shares its time with all that was asked before it.
      limitMs: Math.max(timeoutMs, CALL_TIMEOUT_MS) + transferMs(this.#sentBytes + this.#expectBytes),
      stallMs: timeoutMs + transferMs(this.#sentBytes),
      sentBytes,
      expectBytes
    }
    this.#calls.set(id, call)
    this.#watch.start()
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

  async #send(id: number, call: Call, frame: readonly Uint8Array[]): Promise<void> {
    try {
      await this.#writes.run(async () => {
        if (this.#ended !== undefined) return
        // Nobody waits for it any more, and the other side has not heard of it.
        if (call.isGivenUp) this.#forget(id, call)
        else await this.#stream.write(frame)
      })
    } catch (cause) {
      this.#end(new DisconnectedError('the request could not be sent', { cause }))
    }
  }

  #onResponse({ header, body }: Frame): void {
    const { id, status, ...fields } = fieldsOf(header)
    const call = this.#calls.get(id as number)
    if (call === undefined) throw new ProtocolError('answer to a question nobody asked')
    if (!STATUSES.includes(status as WireStatus)) throw new ProtocolError('answer with an unknown status')
    this.#forget(id as number, call)
    if (status === 'ok') call.resolve({ fields, body })
    else call.reject(new RefusedError(status as WireStatus))
  }

  #forget(id: number, call: Call): void {
    this.#calls.delete(id)
    this.#sentBytes -= call.sentBytes
    this.#expectBytes -= call.expectBytes
    call.release()
  }

  // A stream on which one call waits too long is given up as a whole: whoever waits behind would wait for nothing. That
  // goes for calls given up too, or their slots would be gone for ever.
  #look(): boolean {
    const now = this.#options.clock.monotonic()
    for (const { startedMs, limitMs, stallMs } of this.#calls.values()) {
      const isStalled = now - Math.max(startedMs, this.#lastDataMs) > stallMs
      if (!isStalled && now - startedMs <= limitMs) continue
      this.#options.onFault?.(this.#stream.peer)
      this.#end(new DeadlineError('the peer did not answer in time'))
      return false
    }
    return this.#calls.size > 0
  }

  #end(error: DfsError): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#watch.stop()
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
