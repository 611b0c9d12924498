import type { z } from 'zod'
import type { PeerId } from '../format/peer-id.ts'
import { type Clock, systemClock } from '../util/clock.ts'
import { raceSignal, withDeadline } from '../util/deadline.ts'
import { CallClient, type CallOptions, type Reply } from './call-client.ts'
import { CallServer, type Request, type Response } from './call-server.ts'
import { OPEN_TIMEOUT_MS } from './constants.ts'
import { DisconnectedError, ProtocolError, RefusedError } from './errors.ts'
import type { ByteStream, Host } from './host.ts'

/**
 * Framed, pipelined calls: one long-lived stream a peer, direction and protocol, many requests under way on it, answers
 * in any order. Whoever opened the stream asks; whoever accepted it answers.
 */

export type { CallOptions, Reply, Request, Response }

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
  clock?: Clock
}

/** Answers a protocol. A stranger's stream is reset before a byte of it is looked at. */
export function serveCalls(host: Host, { clock = systemClock, ...options }: ServeOptions): void {
  host.handle(options.protocol, stream => {
    if (options.mayAsk(stream.peer)) new CallServer(stream, { ...options, clock })
    else stream.abort(new RefusedError('not-admitted'))
  })
}

/** Asks peers by one protocol; opens a stream when there is none, and keeps it. */
export class Callers {
  readonly #host: Host
  readonly #clock: Clock
  readonly #options: ProtocolOptions & { onFault?: (peer: PeerId) => void }
  readonly #clients = new Map<PeerId, Promise<CallClient>>()

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
   * `DisconnectedError` if the stream ends, a `DeadlineError` if nothing comes, a `ProtocolError` if nonsense does, a
   * `RangeError` if the fields are more than a header holds, and the signal's reason once that fires.
   */
  async call(peer: PeerId, fields: Record<string, unknown>, options: CallOptions = {}): Promise<Reply> {
    options.signal?.throwIfAborted()
    const client = await raceSignal(this.#client(peer), options.signal)
    return client.call(fields, options)
  }

  /** Reads an answer. One that makes no sense is the peer's fault, as a broken frame is. */
  read<T>(peer: PeerId, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (error instanceof ProtocolError) this.#options.onFault?.(peer)
      throw error
    }
  }

  #client(peer: PeerId): Promise<CallClient> {
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

  async #open(peer: PeerId): Promise<CallClient> {
    let stream: ByteStream
    try {
      stream = await withDeadline(this.#clock, OPEN_TIMEOUT_MS, undefined, signal =>
        this.#host.open(peer, this.#options.protocol, { signal })
      )
    } catch (cause) {
      throw new DisconnectedError('the peer could not be reached', { cause })
    }
    return new CallClient(stream, { ...this.#options, clock: this.#clock })
  }
}

/** The fields of an answer, checked. Throws a `ProtocolError` if they are not what the protocol says. */
export function parseReply<T>(schema: z.ZodType<T>, fields: unknown): T {
  const result = schema.safeParse(fields)
  if (!result.success) throw new ProtocolError('the fields of an answer are not those of the protocol')
  return result.data
}
