import type { z } from 'zod'
import type { PeerId } from '../format/peer-id.ts'
import { type Clock, systemClock } from '../util/clock.ts'
import { raceSignal, withDeadline } from '../util/deadline.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { CallClient, type CallOptions, type Reply } from './call-client.ts'
import { CallServer, type Request, type Response } from './call-server.ts'
import { ASKING_STREAMS_MAX, OPEN_TIMEOUT_MS } from './constants.ts'
import { DisconnectedError, ProtocolError, RefusedError } from './errors.ts'
import type { ByteStream, Host } from './host.ts'
import { PeerFaults } from './peer-faults.ts'

/**
 * Framed, pipelined calls. There is one long-lived stream for each peer, direction and protocol. Many requests may be
 * under way on it concurrently, and their answers come in any order. The side that opened the stream asks; the side
 * that accepted it answers.
 */

export type { CallOptions, Reply, Request, Response }

export interface ProtocolOptions {
  protocol: string
  /** The most bytes that the body of a request may hold. */
  requestBytesMax: number
  /** The most bytes that the body of an answer may hold. */
  responseBytesMax: number
}

export interface CallersOptions extends ProtocolOptions {
  /** Set it for a protocol whose answers carry bulk data: see `CallClientOptions`. */
  leastBytesPerS?: number
  /** Called when a peer breaks the protocol or keeps us waiting too long. */
  onFault?: (peer: PeerId) => void
}

export interface ServeOptions extends ProtocolOptions {
  /** Returns true if this peer may use this protocol. Called for each stream, and again for each request. */
  mayAsk: (peer: PeerId) => boolean
  answer: (request: Request) => Promise<Response>
  /** Called when a peer breaks the protocol. */
  onFault?: (peer: PeerId) => void
  clock?: Clock
}

/**
 * Serves a protocol. A stranger's stream is reset before we look at any of its bytes. If a peer opens more than
 * `ASKING_STREAMS_MAX` streams, the oldest is ended: it may be one that the peer has given up already.
 */
export function serveCalls(host: Host, { clock = systemClock, onFault, ...options }: ServeOptions): void {
  const log = callLog(host)
  const faults = new PeerFaults({ log, onFault })
  const serversByPeer = new Map<PeerId, Set<CallServer>>()
  const serve = (stream: ByteStream): void => {
    const servers = serversByPeer.get(stream.peer) ?? new Set<CallServer>()
    serversByPeer.set(stream.peer, servers)
    const onEnd = (): void => {
      servers.delete(server)
      if (servers.size === 0 && serversByPeer.get(stream.peer) === servers) serversByPeer.delete(stream.peer)
    }
    const server: CallServer = new CallServer(stream, { ...options, clock, log, faults }, onEnd)
    servers.add(server)
    const [oldest] = servers
    if (servers.size > ASKING_STREAMS_MAX) oldest?.replace()
  }
  host.handle(options.protocol, stream => {
    if (options.mayAsk(stream.peer)) {
      serve(stream)
      return
    }
    log('reset a stream of %s, which speaks %s: it is not admitted', stream.peer, options.protocol)
    stream.abort(new RefusedError('not-admitted'))
  })
}

/** Makes calls to peers over one protocol. Opens a stream to a peer at the first call at the latest, and keeps it. */
export class Callers {
  readonly #host: Host
  readonly #clock: Clock
  readonly #options: CallersOptions
  readonly #log: Logger
  readonly #faults: PeerFaults
  readonly #clients = new Map<PeerId, Promise<CallClient>>()

  constructor(host: Host, clock: Clock, options: CallersOptions) {
    this.#host = host
    this.#clock = clock
    this.#options = options
    this.#log = callLog(host)
    this.#faults = new PeerFaults({ log: this.#log, onFault: options.onFault })
    host.onPeer((event, peer) => {
      if (event === 'disconnected') this.#clients.delete(peer)
    })
  }

  /**
   * Sends a request and waits for its answer. Throws a `RefusedError` on a status other than `ok`, a
   * `DisconnectedError` if the stream ends, a `DeadlineError` if no answer comes in time, a `ProtocolError` if the
   * answer is malformed, a `RangeError` if the fields do not fit into a header, and the signal's reason once the signal
   * fires.
   */
  async call(peer: PeerId, fields: Record<string, unknown>, options: CallOptions = {}): Promise<Reply> {
    options.signal?.throwIfAborted()
    const client = await raceSignal(this.#client(peer), options.signal)
    return client.call(fields, options)
  }

  /**
   * Opens the stream to a peer before the first call needs it. If that fails, the first call tries again.
   */
  prepare(peer: PeerId): void {
    this.#client(peer).catch(error => this.#log.trace('%s is not prepared: %s', peer, reasonOf(error)))
  }

  /** Reads an answer. If `read` throws a `ProtocolError`, the peer is blamed, as it is for a broken frame. */
  read<T>(peer: PeerId, read: () => T): T {
    return this.#faults.read(peer, read)
  }

  #client(peer: PeerId): Promise<CallClient> {
    const known = this.#clients.get(peer)
    if (known !== undefined) return known
    const opening = this.#open(peer)
    this.#clients.set(peer, opening)
    const forget = (): void => {
      if (this.#clients.get(peer) === opening) this.#clients.delete(peer)
    }
    // If the stream cannot be opened, the caller gets the error.
    opening.then(client => client.onEnd(forget), forget)
    return opening
  }

  async #open(peer: PeerId): Promise<CallClient> {
    const { protocol, responseBytesMax, leastBytesPerS } = this.#options
    let stream: ByteStream
    try {
      stream = await withDeadline(this.#clock, OPEN_TIMEOUT_MS, undefined, signal =>
        this.#host.open(peer, protocol, { signal })
      )
    } catch (cause) {
      this.#log('could not open a stream of %s to %s: %s', protocol, peer, reasonOf(cause))
      throw new DisconnectedError('the peer could not be reached', { cause })
    }
    this.#log.trace('opened a stream of %s to %s', protocol, peer)
    const shared = { clock: this.#clock, log: this.#log, faults: this.#faults }
    return new CallClient(stream, { ...shared, responseBytesMax, leastBytesPerS })
  }
}

/** Checks the fields of an answer. Throws a `ProtocolError` if they do not match the protocol. */
export function parseReply<T>(schema: z.ZodType<T>, fields: unknown): T {
  const result = schema.safeParse(fields)
  if (!result.success) throw new ProtocolError('the fields of an answer are not those of the protocol')
  return result.data
}

function callLog(host: Host): Logger {
  return host.logger.forComponent('dfs:wire:calls')
}
