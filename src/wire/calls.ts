import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { DeadlineError, type DfsError, isAbort } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import {
  CALL_TICK_MS,
  CALL_TIMEOUT_MS,
  IN_FLIGHT_MAX,
  OPEN_TIMEOUT_MS,
  SLOWEST_BYTES_PER_S,
  STALL_MS
} from './constants.ts'
import { DisconnectedError, ProtocolError, RefusedError, STATUSES, type WireStatus } from './errors.ts'
import { encodeFrame, type Frame, FrameReader } from './frames.ts'
import type { ByteStream, Host } from './host.ts'

/**
 * Framed, pipelined calls: one long-lived stream a peer, direction and protocol, many requests under way on it, answers
 * in any order. Whoever opened the stream asks; whoever accepted it answers.
 */

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

export interface Reply {
  fields: Record<string, unknown>
  body: Uint8Array
}

export interface ProtocolOptions {
  protocol: string
  /** The most that a request's body may hold, and an answer's. */
  requestBytesMax: number
  responseBytesMax: number
}

export interface ServeOptions extends ProtocolOptions {
  /** Asked for each stream and each request: whether this peer may speak this protocol. */
  mayAsk: (peer: PeerId) => boolean
  answer: (request: Request) => Promise<Response>
  /** Told when a peer breaks the protocol. */
  onFault?: (peer: PeerId) => void
}

/** Answers a protocol. A stranger's stream is reset before a byte of it is looked at. */
export function serveCalls(host: Host, options: ServeOptions): void {
  host.handle(options.protocol, stream => {
    if (options.mayAsk(stream.peer)) new Server(stream, options)
    else stream.abort(new RefusedError('not-admitted'))
  })
}

class Server {
  readonly #stream: ByteStream
  readonly #options: ServeOptions
  readonly #ended = new AbortController()
  readonly #writes = new Limiter(1)
  #inFlight = 0

  constructor(stream: ByteStream, options: ServeOptions) {
    this.#stream = stream
    this.#options = options
    const reader = new FrameReader(options.requestBytesMax, frame => this.#onRequest(frame))
    stream.onEnd(() => this.#ended.abort(new DisconnectedError('the stream ended')))
    stream.onData(bytes => {
      try {
        reader.push(bytes)
      } catch (error) {
        this.#fault(error as ProtocolError)
      }
    })
  }

  #onRequest({ header, body }: Frame): void {
    const { id, ...fields } = asFields(header)
    if (!Number.isSafeInteger(id)) throw new ProtocolError('request without an id')
    // The asker counts its own; one that does not would have us hold as many bodies as it likes.
    if (this.#inFlight >= IN_FLIGHT_MAX) throw new ProtocolError('more requests under way than the protocol allows')
    this.#inFlight++
    void this.#respond(id as number, fields, body)
  }

  async #respond(id: number, fields: Record<string, unknown>, body: Uint8Array): Promise<void> {
    const { peer } = this.#stream
    let response: Response
    try {
      if (!this.#options.mayAsk(peer)) throw new RefusedError('not-admitted')
      response = await this.#options.answer({ peer, fields, body, signal: this.#ended.signal })
    } catch (error) {
      if (error instanceof ProtocolError) {
        this.#fault(error)
        return
      }
      response = { status: error instanceof RefusedError ? error.status : isAbort(error) ? 'busy' : 'internal' }
    }
    this.#inFlight--
    if (this.#ended.signal.aborted) return
    try {
      const frame = encodeFrame({ ...response.fields, id, status: response.status }, response.body)
      await this.#writes.run(() => this.#stream.write(frame), this.#ended.signal)
    } catch (error) {
      if (!this.#ended.signal.aborted) this.#stream.abort(error as Error)
    }
  }

  #fault(error: ProtocolError): void {
    this.#options.onFault?.(this.#stream.peer)
    this.#stream.abort(error)
  }
}

export interface CallOptions {
  body?: readonly Uint8Array[]
  signal?: AbortSignal | undefined
  /** For calls whose answer rests on more than a disk read: how long the other side may be silent. */
  timeoutMs?: number
  /** The bytes that the answer will carry, or that the other side must move before it can answer. */
  expectBytes?: number
}

/** Asks peers by one protocol; opens a stream when there is none, and keeps it. */
export class Callers {
  readonly #host: Host
  readonly #clock: Clock
  readonly #options: ProtocolOptions & { onFault?: (peer: PeerId) => void }
  readonly #clients = new Map<PeerId, Promise<Client>>()

  constructor(host: Host, clock: Clock, options: ProtocolOptions & { onFault?: (peer: PeerId) => void }) {
    this.#host = host
    this.#clock = clock
    this.#options = options
    host.onPeer((event, peer) => {
      if (event === 'disconnected') this.#clients.delete(peer)
    })
  }

  /**
   * Sends a request and waits for its answer. Throws a `RefusedError` on a status other than `ok`, a
   * `DisconnectedError` if the stream ends, a `DeadlineError` if nothing comes, a `ProtocolError` if nonsense does.
   */
  async call(peer: PeerId, fields: Record<string, unknown>, options: CallOptions = {}): Promise<Reply> {
    const client = await this.#client(peer, options.signal)
    return client.call(fields, options)
  }

  async #client(peer: PeerId, signal: AbortSignal | undefined): Promise<Client> {
    signal?.throwIfAborted()
    const known = this.#clients.get(peer)
    if (known !== undefined) return known
    const opening = this.#open(peer)
    this.#clients.set(peer, opening)
    const forget = (): void => {
      if (this.#clients.get(peer) === opening) this.#clients.delete(peer)
    }
    opening.then(client => client.onEnd(forget), forget)
    return opening
  }

  async #open(peer: PeerId): Promise<Client> {
    let stream: ByteStream
    try {
      stream = await this.#host.open(peer, this.#options.protocol, { signal: AbortSignal.timeout(OPEN_TIMEOUT_MS) })
    } catch (cause) {
      throw new DisconnectedError('the peer could not be reached', { cause })
    }
    return new Client(stream, this.#clock, this.#options)
  }
}

interface Waiting {
  resolve: (reply: Reply) => void
  reject: (error: Error) => void
  startedMs: number
  limitMs: number
  stallMs: number
}

class Client {
  readonly #stream: ByteStream
  readonly #clock: Clock
  readonly #onFault: ((peer: PeerId) => void) | undefined
  readonly #slots = new Limiter(IN_FLIGHT_MAX)
  readonly #writes = new Limiter(1)
  readonly #waiting = new Map<number, Waiting>()
  // Ids of calls given up: their answers may still come, and are dropped. Bounded by the slots they hold.
  readonly #abandoned = new Map<number, () => void>()
  readonly #endListeners: Array<() => void> = []
  #nextId = 1
  #lastDataMs: number
  #ended: DfsError | undefined
  #cancelTick: (() => void) | undefined

  constructor(stream: ByteStream, clock: Clock, options: ProtocolOptions & { onFault?: (peer: PeerId) => void }) {
    this.#stream = stream
    this.#clock = clock
    this.#onFault = options.onFault
    this.#lastDataMs = clock.monotonic()
    const reader = new FrameReader(options.responseBytesMax, frame => this.#onResponse(frame))
    stream.onEnd(() => this.#end(new DisconnectedError('the stream ended before the answer')))
    stream.onData(bytes => {
      this.#lastDataMs = this.#clock.monotonic()
      try {
        reader.push(bytes)
      } catch (error) {
        this.#onFault?.(this.#stream.peer)
        this.#end(error as ProtocolError)
      }
    })
  }

  onEnd(listener: () => void): void {
    if (this.#ended === undefined) this.#endListeners.push(listener)
    else listener()
  }

  async call(fields: Record<string, unknown>, options: CallOptions): Promise<Reply> {
    const { signal, body, timeoutMs = STALL_MS, expectBytes = 0 } = options
    const release = await this.#slots.acquire(1, signal)
    if (this.#ended !== undefined) {
      release()
      throw this.#ended
    }
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    promise.catch(() => {})
    this.#waiting.set(id, {
      resolve: reply => {
        release()
        resolve(reply)
      },
      reject: error => {
        release()
        reject(error)
      },
      startedMs: this.#clock.monotonic(),
      limitMs: Math.max(timeoutMs, CALL_TIMEOUT_MS) + (expectBytes / SLOWEST_BYTES_PER_S) * 1000,
      stallMs: timeoutMs
    })
    this.#tick()
    const onAbort = (): void => {
      if (!this.#waiting.delete(id)) return
      this.#abandoned.set(id, release)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await this.#writes.run(() => this.#stream.write(encodeFrame({ ...fields, id }, body)))
      return await promise
    } catch (error) {
      if (this.#waiting.has(id)) this.#end(new DisconnectedError('the request could not be sent', { cause: error }))
      throw this.#ended !== undefined && !isAbort(error) ? this.#ended : error
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #onResponse({ header, body }: Frame): void {
    const { id, status, ...fields } = asFields(header)
    const abandoned = this.#abandoned.get(id as number)
    if (abandoned !== undefined) {
      this.#abandoned.delete(id as number)
      abandoned()
      return
    }
    const waiting = this.#waiting.get(id as number)
    if (waiting === undefined) throw new ProtocolError('answer to a question nobody asked')
    if (!STATUSES.includes(status as WireStatus)) throw new ProtocolError('answer with an unknown status')
    this.#waiting.delete(id as number)
    if (status === 'ok') waiting.resolve({ fields, body })
    else waiting.reject(new RefusedError(status as WireStatus))
  }

  // One timer a stream, only while somebody waits. A stream that is silent while one waits is given up as a whole: its
  // answers come in the order of its bytes, so whoever waits behind would wait for nothing.
  #tick(): void {
    if (this.#cancelTick !== undefined) return
    this.#cancelTick = this.#clock.after(CALL_TICK_MS, () => {
      this.#cancelTick = undefined
      const now = this.#clock.monotonic()
      for (const { startedMs, limitMs, stallMs } of this.#waiting.values()) {
        const isStalled = now - Math.max(startedMs, this.#lastDataMs) > stallMs
        if (!isStalled && now - startedMs <= limitMs) continue
        this.#end(new DeadlineError('the peer did not answer in time'))
        return
      }
      if (this.#waiting.size > 0) this.#tick()
    })
  }

  #end(error: DfsError): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#cancelTick?.()
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    for (const release of this.#abandoned.values()) release()
    this.#abandoned.clear()
    this.#stream.abort(error)
    for (const listener of this.#endListeners.splice(0)) listener()
  }
}

function asFields(header: unknown): Record<string, unknown> & { id?: unknown; status?: unknown } {
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw new ProtocolError('header is not a map')
  return header as Record<string, unknown>
}
