import { IncomingMessage } from 'node:http'
import type { Connection, MultiaddrConnection, Transport, Upgrader } from '@libp2p/interface'
import { type WebSocketsComponents, webSockets } from '@libp2p/websockets'

/** libp2p's WebSockets transport with two changes: sockets are closed properly, and web pages cannot connect. */
export function closingWebSockets(): (components: WebSocketsComponents) => Transport {
  const make = webSockets({ http: { IncomingMessage: SameProgramOnly } })
  return components => {
    const transport = make(components)
    const dial = transport.dial.bind(transport)
    const createListener = transport.createListener.bind(transport)
    return Object.assign(transport, {
      dial: (address, options) => dial(address, { ...options, upgrader: new ClosingUpgrader(options.upgrader) }),
      createListener: options => createListener({ ...options, upgrader: new ClosingUpgrader(options.upgrader) })
    } satisfies Partial<Transport>)
  }
}

/**
 * When `@libp2p/websockets` 10.1 gives up on a connection, it closes the socket with code 1006, which must never be
 * sent. The socket would therefore stay open, and the other side would notice only half a minute later, when its pings
 * fail. Closing without a code works.
 */
class ClosingUpgrader implements Upgrader {
  readonly #upgrader: Upgrader

  constructor(upgrader: Upgrader) {
    this.#upgrader = upgrader
  }

  upgradeOutbound(connection: MultiaddrConnection, options: Outbound): Promise<Connection> {
    closeSocketWith(connection)
    return this.#upgrader.upgradeOutbound(connection, options)
  }

  upgradeInbound(connection: MultiaddrConnection, options: Inbound): Promise<void> {
    closeSocketWith(connection)
    return this.#upgrader.upgradeInbound(connection, options)
  }

  createInboundAbortSignal(signal: AbortSignal): ReturnType<Upgrader['createInboundAbortSignal']> {
    return this.#upgrader.createInboundAbortSignal(signal)
  }

  getStreamMuxers(): ReturnType<Upgrader['getStreamMuxers']> {
    return this.#upgrader.getStreamMuxers()
  }

  getConnectionEncrypters(): ReturnType<Upgrader['getConnectionEncrypters']> {
    return this.#upgrader.getConnectionEncrypters()
  }
}

type Outbound = Parameters<Upgrader['upgradeOutbound']>[1]
type Inbound = Parameters<Upgrader['upgradeInbound']>[1]

// The socket is private to the connection. The host contract is also run over WebSockets, and fails if the socket is no
// longer found here.
function closeSocketWith(connection: MultiaddrConnection): void {
  const { websocket } = connection as MultiaddrConnection & { websocket?: { close(): void } }
  connection.addEventListener('close', () => websocket?.close())
}

/**
 * A web page can open a WebSocket to any machine on its visitor's network, and the browser then sends the page's origin
 * in `Origin`. No member is a web page. So we remove the WebSocket key from a request that has this header, and without
 * the key the upgrade is refused.
 */
class SameProgramOnly extends IncomingMessage {}
const headersOf = Object.getOwnPropertyDescriptor(IncomingMessage.prototype, 'headers')?.get
Object.defineProperty(SameProgramOnly.prototype, 'headers', {
  get(this: IncomingMessage): IncomingMessage['headers'] {
    const headers: IncomingMessage['headers'] = headersOf?.call(this) ?? {}
    if (headers.origin !== undefined) delete headers['sec-websocket-key']
    return headers
  }
})
