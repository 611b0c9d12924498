import { once } from 'node:events'
import { Socket } from 'node:net'
import { connect, TLSSocket as ServerSocket, type TLSSocket } from 'node:tls'
import type {
  ConnectionEncrypter,
  MessageStream,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory
} from '@libp2p/interface'
import { type TLSComponents, tls } from '@libp2p/tls'
import { toMessageStream, verifyPeerCertificate } from '@libp2p/tls/utils'
import { raceSignal } from '../util/deadline.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { type Certificate, lastingCertificate } from './certificate.ts'
import { DisconnectedError } from './errors.ts'

/**
 * TLS 1.3 on the socket itself. `@libp2p/tls` runs Node's TLS over a duplex in JavaScript, which copies every byte four
 * times and causes most of the garbage collector's work. Where there is a TCP socket, Node can encrypt on it directly.
 * The protocol id, the certificate (but for its start, see `lastingCertificate`) and ALPN are those of the stock module
 * (https://github.com/libp2p/specs/blob/master/tls/tls.md), so each side may use either module. Where there is no TCP
 * socket, as with a WebSocket or a relay, the stock module is used.
 */
export function socketTls(logger: ComponentLogger): (components: TLSComponents) => ConnectionEncrypter {
  const makeStock = tls()
  const log = logger.forComponent('dfs:wire:tls')
  return components => new SocketTls(components, makeStock(components), log)
}

/** The ALPN answer of a peer that negotiates the muxer after TLS, not within it. */
const NO_MUXER = 'libp2p'

/** A connection that is to be secured, and the socket under it. */
interface Handshake {
  connection: MessageStream
  socket: Socket
  isServer: boolean
  options: SecureConnectionOptions
}

class SocketTls implements ConnectionEncrypter {
  readonly protocol: string
  readonly #components: TLSComponents
  readonly #stock: ConnectionEncrypter
  readonly #log: Logger
  // We make one certificate and use it until the process ends. It only says who we are, and making it takes longer than
  // the rest of a handshake.
  #certificate: Promise<Certificate> | undefined

  constructor(components: TLSComponents, stock: ConnectionEncrypter, log: Logger) {
    this.#components = components
    this.#stock = stock
    this.#log = log
    this.protocol = stock.protocol
  }

  secureInbound(connection: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    const socket = this.#socketOf(connection)
    if (socket === undefined) return this.#stock.secureInbound(connection, options)
    return this.#secure({ connection, socket, isServer: true, options })
  }

  secureOutbound(connection: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    const socket = this.#socketOf(connection)
    if (socket === undefined) return this.#stock.secureOutbound(connection, options)
    return this.#secure({ connection, socket, isServer: false, options })
  }

  #socketOf(connection: MessageStream): Socket | undefined {
    const socket = socketOf(connection)
    if (socket === undefined) this.#log.trace('a connection has no socket: the stock module secures it')
    return socket
  }

  async #secure(handshake: Handshake): Promise<SecuredConnection> {
    const { connection, socket, options } = handshake
    let secured: TLSSocket | undefined
    try {
      const certificate = await raceSignal(this.#certified(), options.signal)
      await takeOver(connection, socket, options.signal)
      secured = this.#begin(handshake, certificate)
      endAsTls(socket, secured)
      await this.#shakeHands(secured, options.signal)
      const remotePeer = await peerOf(secured, options)
      this.#log.trace('secured a connection to %s on its socket', remotePeer)
      const streamMuxer = this.#muxerOf(secured.alpnProtocol, options)
      return {
        remotePeer,
        connection: toMessageStream(connection, secured),
        ...(streamMuxer === undefined ? {} : { streamMuxer })
      }
    } catch (error) {
      this.#log('a connection could not be secured: %s', reasonOf(error))
      secured?.destroy()
      connection.abort(error as Error)
      throw error
    }
  }

  #certified(): Promise<Certificate> {
    this.#certificate ??= lastingCertificate(this.#components.privateKey).catch(error => {
      this.#certificate = undefined
      throw error
    })
    return this.#certificate
  }

  #begin({ socket, isServer, options }: Handshake, certificate: Certificate): TLSSocket {
    const muxers = options.skipStreamMuxerNegotiation === true ? [] : [...this.#muxers.keys()]
    const shared = { ...certificate, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', rejectUnauthorized: false } as const
    if (!isServer) return connect({ ...shared, socket, ALPNProtocols: [...muxers, NO_MUXER] })
    return new ServerSocket(socket, {
      ...shared,
      isServer: true,
      requestCert: true,
      ALPNCallback: ({ protocols }) => protocols.find(protocol => muxers.includes(protocol)) ?? NO_MUXER
    })
  }

  /** Resolves once both sides have shown their certificates. Throws the error if the handshake ends before that. */
  async #shakeHands(secured: TLSSocket, signal: AbortSignal | undefined): Promise<void> {
    // This listener is never removed. Without it, an error after the handshake and before the connection adds its own
    // listeners would end the process.
    secured.on('error', error => this.#log.trace('error of a TLS socket: %s', reasonOf(error)))
    const done = new AbortController()
    const joined = signal === undefined ? done.signal : AbortSignal.any([signal, done.signal])
    try {
      await Promise.race([
        once(secured, 'secure', { signal: joined }),
        once(secured, 'close', { signal: joined }).then(() => {
          throw new DisconnectedError('the connection ended before it was secured')
        })
      ])
    } finally {
      done.abort()
    }
  }

  #muxerOf(protocol: string | false | null, options: SecureConnectionOptions): StreamMuxerFactory | undefined {
    if (typeof protocol !== 'string' || protocol === NO_MUXER || options.skipStreamMuxerNegotiation === true)
      return undefined
    return this.#muxers.get(protocol)
  }

  get #muxers(): Map<string, StreamMuxerFactory> {
    return this.#components.upgrader.getStreamMuxers()
  }
}

/** The TCP socket under a connection. It is private to `@libp2p/tcp`; a test fails if it has moved. */
export function socketOf(connection: MessageStream): Socket | undefined {
  const { socket } = connection as MessageStream & { socket?: unknown }
  return socket instanceof Socket && !socket.destroyed ? socket : undefined
}

/**
 * Makes a socket end through its TLS layer. An aborted connection resets its socket. If there is TLS on the socket,
 * that crashes the process (a segmentation fault in Node 24).
 */
function endAsTls(socket: Socket, secured: TLSSocket): void {
  socket.resetAndDestroy = () => {
    secured.destroy()
    return socket
  }
}

/**
 * Returns the peer whose certificate was shown. Certificates are self-signed and contain a peer id, so we check them
 * ourselves.
 */
async function peerOf(
  secured: TLSSocket,
  { signal, remotePeer }: SecureConnectionOptions
): Promise<SecuredConnection['remotePeer']> {
  const shown = secured.getPeerCertificate().raw as Buffer | undefined
  if (shown === undefined) throw new DisconnectedError('the peer showed no certificate')
  return raceSignal(verifyPeerCertificate(shown, remotePeer), signal)
}

/**
 * Stops the connection from reading the socket. Bytes that the connection has already read beyond the negotiation are
 * put back, so that TLS reads them.
 */
async function takeOver(connection: MessageStream, socket: Socket, signal: AbortSignal | undefined): Promise<void> {
  socket.pause()
  socket.removeAllListeners('data')
  const early: Uint8Array[] = []
  const onMessage = ({ data }: { data: Uint8Array | Iterable<Uint8Array> }): void => {
    if (data instanceof Uint8Array) early.push(data)
    else early.push(...data)
  }
  connection.addEventListener('message', onMessage)
  // The connection passes its buffered bytes to a listener in a separate microtask.
  await new Promise(resolve => setImmediate(resolve))
  connection.removeEventListener('message', onMessage)
  signal?.throwIfAborted()
  if (socket.destroyed) throw new DisconnectedError('the connection ended before it was secured')
  if (early.length > 0) socket.unshift(Buffer.concat(early))
}
