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
import { generateCertificate, toMessageStream, verifyPeerCertificate } from '@libp2p/tls/utils'
import { raceSignal } from '../util/deadline.ts'
import { DisconnectedError } from './errors.ts'

/**
 * TLS 1.3 on the socket itself. `@libp2p/tls` puts Node's TLS behind a duplex in JavaScript, which copies every byte four
 * times and gives the collector most of its work; where there is a TCP socket Node can encrypt on it directly. Protocol
 * id, certificate and ALPN are those of the stock module (https://github.com/libp2p/specs/blob/master/tls/tls.md), so
 * each side may be either. Where there is no socket, as under a WebSocket or a relay, the stock module does it.
 */
export function socketTls(): (components: TLSComponents) => ConnectionEncrypter {
  const makeStock = tls()
  return components => new SocketTls(components, makeStock(components))
}

/** Without early negotiation of the muxer: the two agree on one afterwards. */
const NO_MUXER = 'libp2p'

class SocketTls implements ConnectionEncrypter {
  readonly protocol: string
  readonly #components: TLSComponents
  readonly #stock: ConnectionEncrypter
  // Made once: it says nothing but who we are, and takes longer than the rest of the handshake.
  #certificate: ReturnType<typeof generateCertificate> | undefined

  constructor(components: TLSComponents, stock: ConnectionEncrypter) {
    this.#components = components
    this.#stock = stock
    this.protocol = stock.protocol
  }

  secureInbound(connection: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    const socket = socketOf(connection)
    if (socket === undefined) return this.#stock.secureInbound(connection, options)
    return this.#secure(connection, socket, true, options)
  }

  secureOutbound(connection: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    const socket = socketOf(connection)
    if (socket === undefined) return this.#stock.secureOutbound(connection, options)
    return this.#secure(connection, socket, false, options)
  }

  async #secure(
    connection: MessageStream,
    socket: Socket,
    isServer: boolean,
    options: SecureConnectionOptions
  ): Promise<SecuredConnection> {
    const { signal, remotePeer } = options
    let secured: TLSSocket | undefined
    try {
      const certificate = await raceSignal(this.#certified(), signal)
      await takeOver(connection, socket, signal)
      const tls = this.#begin(socket, isServer, certificate, options)
      secured = tls
      // A connection that is aborted resets its socket: with TLS on it that ends the process (a segmentation fault in
      // Node 24). It ends the way TLS does.
      socket.resetAndDestroy = () => {
        tls.destroy()
        return socket
      }
      await shakenHands(secured, signal)
      // Self-signed, and it says which peer it is of: that is looked at here, not by Node.
      const shown = secured.getPeerCertificate().raw as Buffer | undefined
      if (shown === undefined) throw new DisconnectedError('the peer showed no certificate')
      const peer = await raceSignal(verifyPeerCertificate(shown, remotePeer), signal)
      const streamMuxer = this.#muxerOf(secured.alpnProtocol, options)
      return {
        remotePeer: peer,
        connection: toMessageStream(connection, secured),
        ...(streamMuxer === undefined ? {} : { streamMuxer })
      }
    } catch (error) {
      secured?.destroy()
      connection.abort(error as Error)
      throw error
    }
  }

  #certified(): ReturnType<typeof generateCertificate> {
    this.#certificate ??= generateCertificate(this.#components.privateKey).catch(error => {
      this.#certificate = undefined
      throw error
    })
    return this.#certificate
  }

  #begin(
    socket: Socket,
    isServer: boolean,
    certificate: Awaited<ReturnType<typeof generateCertificate>>,
    options: SecureConnectionOptions
  ): TLSSocket {
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

  #muxerOf(protocol: string | false | null, options: SecureConnectionOptions): StreamMuxerFactory | undefined {
    if (typeof protocol !== 'string' || protocol === NO_MUXER || options.skipStreamMuxerNegotiation === true)
      return undefined
    return this.#muxers.get(protocol)
  }

  get #muxers(): Map<string, StreamMuxerFactory> {
    return this.#components.upgrader.getStreamMuxers()
  }
}

/** Resolves once both sides have shown their certificates; throws what ended it before. */
async function shakenHands(secured: TLSSocket, signal: AbortSignal | undefined): Promise<void> {
  // For as long as it lives: between this and the listeners of the connection an error would end the process.
  secured.on('error', () => {})
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

/** The TCP socket under a connection. It is private to `@libp2p/tcp`: a test says loudly when it has moved. */
export function socketOf(connection: MessageStream): Socket | undefined {
  const { socket } = connection as MessageStream & { socket?: unknown }
  return socket instanceof Socket && !socket.destroyed ? socket : undefined
}

/**
 * Takes the socket's bytes away from the connection. What came before, with or after the last word of the negotiation, is
 * put back for TLS to read.
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
  // The connection hands what it holds to a listener in a microtask of its own.
  await new Promise(resolve => setImmediate(resolve))
  connection.removeEventListener('message', onMessage)
  signal?.throwIfAborted()
  if (socket.destroyed) throw new DisconnectedError('the connection ended before it was secured')
  if (early.length > 0) socket.unshift(Buffer.concat(early))
}
