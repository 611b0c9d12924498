import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, PrivateKey } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { createLibp2p, type Libp2pOptions } from 'libp2p'
import type { PeerId } from '../format/peer-id.ts'
import { type Clock, systemClock } from '../util/clock.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { checkListen, checkPort, dialTargets, parseAddress } from './addresses.ts'
import { ArrivalGate, type Welcome } from './arrival-gate.ts'
import {
  CONNECTIONS_MAX,
  DIAL_TIMEOUT_MS,
  INBOUND_PENDING_MAX,
  INBOUND_PER_S_MAX,
  STREAM_WINDOW_BYTES,
  STREAMS_PER_PROTOCOL_MAX
} from './constants.ts'
import { DisconnectedError } from './errors.ts'
import type { ByteStream, ConnectionInfo, Host } from './host.ts'
import { Libp2pStream } from './libp2p-stream.ts'
import { LocalDiscovery } from './local-discovery.ts'
import { socketTls } from './socket-tls.ts'
import { closingWebSockets } from './websockets.ts'

export type Transports = NonNullable<Libp2pOptions['transports']>

export interface Libp2pHostOptions {
  /** Seed of the Ed25519 device key, 32 bytes. */
  deviceSeed: Uint8Array
  /** Multiaddrs to listen on. */
  listen: readonly string[]
  /** Multiaddrs under which others reach us, if they differ from the addresses on which we listen. */
  announce?: readonly string[] | undefined
  /** Whether to find other nodes on the local network, and to be found by them. */
  mdns?: boolean | undefined
  /** The pause between two queries on the local network. */
  mdnsIntervalMs?: number | undefined
  /** Transports to use instead of TCP and WebSockets. */
  transports?: Transports | undefined
  /**
   * Where this room logs. libp2p does not use this logger, because its log lines contain a remote's own words. Those
   * lines are written only if `DEBUG=libp2p:*` asks for them.
   */
  logger: ComponentLogger
  clock?: Clock | undefined
}

/** Called with what a peer announces on the local network. */
type DiscoveryListener = (peer: PeerId, addresses: string[]) => void

interface Parts {
  gate: ArrivalGate

  listeners: DiscoveryListener[]
  discovery: LocalDiscovery | undefined
}

/** The real network: libp2p over TCP and WebSockets, with TLS 1.3 preferred to Noise, and yamux. */
export class Libp2pHost implements Host {
  readonly logger: ComponentLogger
  readonly #libp2p: Libp2p
  readonly #listen: readonly string[]
  readonly #log: Logger
  readonly #handlers = new Map<string, (stream: ByteStream) => void>()
  readonly #dialListeners: Array<(peer: PeerId) => void> = []
  readonly #discoveryListeners: DiscoveryListener[]
  readonly #discovery: LocalDiscovery | undefined
  readonly #gate: ArrivalGate
  /** Connected peers that are members. */
  readonly #members = new Set<PeerId>()

  private constructor(libp2p: Libp2p, { listen, logger }: Libp2pHostOptions, { gate, listeners, discovery }: Parts) {
    this.#libp2p = libp2p
    this.#discoveryListeners = listeners
    this.#discovery = discovery
    this.#listen = listen
    this.logger = logger
    this.#log = logger.forComponent('dfs:wire:host')
    this.onPeer((event, peer) => this.#log('%s %s', event, peer))
    this.#gate = gate
    libp2p.addEventListener('connection:close', ({ detail }) => this.#onClose(detail))
  }

  static async create(options: Libp2pHostOptions): Promise<Libp2pHost> {
    for (const address of [...options.listen, ...(options.announce ?? [])]) parseAddress(address)
    if (options.transports === undefined) for (const address of options.listen) checkListen(address)
    const privateKey = await generateKeyPairFromSeed('Ed25519', options.deviceSeed)
    const listeners: DiscoveryListener[] = []
    const { clock = systemClock, mdnsIntervalMs: intervalMs } = options
    const onAnnounced: DiscoveryListener = (peer, addresses) => {
      for (const listener of listeners) listener(peer, addresses)
    }
    const discovery = options.mdns === true ? new LocalDiscovery({ clock, intervalMs, onAnnounced }) : undefined
    const gate = new ArrivalGate(clock)
    const libp2p = await createLibp2p(configOf(options, privateKey, { gate, discovery }))
    return new Libp2pHost(libp2p, options, { gate, listeners, discovery })
  }

  get peerId(): PeerId {
    return this.#libp2p.peerId.toString()
  }

  async start(): Promise<void> {
    for (const [protocol, handler] of this.#handlers) {
      await this.#libp2p.handle(protocol, (stream, connection) => handler(this.#wrap(stream, connection)), {
        maxInboundStreams: STREAMS_PER_PROTOCOL_MAX,
        maxOutboundStreams: STREAMS_PER_PROTOCOL_MAX,
        runOnLimitedConnection: true
      })
    }
    try {
      await this.#libp2p.start()
    } catch (error) {
      // libp2p has already shut down after the failure. Its error nests one error for each address, so we ask the
      // operating system what is wrong.
      for (const address of this.#listen) await checkPort(address)
      throw error
    }
    this.#log('listening as %s, addresses: %d', this.peerId, this.addresses().length)
  }

  async stop(): Promise<void> {
    await this.#libp2p.stop()
  }

  addresses(): string[] {
    return this.#libp2p.getMultiaddrs().map(address => address.decapsulate('/p2p').toString())
  }

  handle(protocol: string, handler: (stream: ByteStream) => void): void {
    this.#handlers.set(protocol, handler)
  }

  async open(peer: PeerId, protocol: string, { signal }: { signal: AbortSignal }): Promise<ByteStream> {
    signal.throwIfAborted()
    const connection = this.#connectionTo(peer)
    if (connection === undefined) throw new DisconnectedError('not connected to this peer')
    try {
      const stream = await connection.newStream(protocol, {
        signal,
        runOnLimitedConnection: true,
        maxOutboundStreams: STREAMS_PER_PROTOCOL_MAX
      })
      return this.#wrap(stream, connection)
    } catch (cause) {
      this.#log.trace('%s opened no stream of %s: %s', peer, protocol, reasonOf(cause))
      signal.throwIfAborted()
      throw new DisconnectedError('no stream of this protocol could be opened', { cause })
    }
  }

  async dial(
    addresses: readonly string[],
    { signal, peer }: { signal: AbortSignal; peer?: PeerId | undefined }
  ): Promise<PeerId> {
    const targets = dialTargets(addresses, peer)
    if (targets.length < addresses.length)
      this.#log.trace('skipping addresses that cannot be dialled: %d', addresses.length - targets.length)
    let connection: Connection
    try {
      connection = await this.#libp2p.dial(targets, { signal })
    } catch (cause) {
      this.#log.trace('could not reach anyone at %s: %s', targets.join(' '), reasonOf(cause))
      signal.throwIfAborted()
      throw new DisconnectedError('nobody answers at these addresses, or another peer does', { cause })
    }
    const reached = connection.remotePeer.toString()
    if (peer !== undefined && reached !== peer) {
      // Not every transport checks that the peer that answers is the one that it was told to expect.
      connection.abort(new Error('not the peer that was expected'))
      throw new DisconnectedError('another peer answers at these addresses')
    }
    this.#log.trace('reached %s at %s', reached, connection.remoteAddr)
    for (const listener of this.#dialListeners) listener(reached)
    return reached
  }

  async hangUp(peer: PeerId): Promise<void> {
    this.#log('hanging up on %s', peer)
    await this.#libp2p.hangUp(peerIdFromString(peer))
  }

  isConnected(peer: PeerId): boolean {
    return this.#connectionTo(peer) !== undefined
  }

  connections(): ConnectionInfo[] {
    return this.#libp2p.getConnections().map(connection => ({
      peer: connection.remotePeer.toString(),
      address: connection.remoteAddr.toString(),
      via: viaOf(connection),
      latencyMs: connection.rtt,
      isOutbound: connection.direction === 'outbound'
    }))
  }

  welcome(peer: PeerId, as: Welcome): void {
    if (as === 'member') this.#members.add(peer)
    for (const { remoteAddr } of this.#libp2p.getConnections(peerIdFromString(peer)))
      this.#gate.welcome(remoteAddr.toString(), as)
  }

  onPeer(listener: (event: 'connected' | 'disconnected', peer: PeerId) => void): void {
    this.#libp2p.addEventListener('peer:connect', ({ detail }) => listener('connected', detail.toString()))
    this.#libp2p.addEventListener('peer:disconnect', ({ detail }) => listener('disconnected', detail.toString()))
  }

  onDialled(listener: (peer: PeerId) => void): void {
    this.#dialListeners.push(listener)
  }

  onDiscovered(listener: (peer: PeerId, addresses: string[]) => void): void {
    this.#discoveryListeners.push(listener)
  }

  /** Listens on the local network again if the interfaces of this machine have changed. Call it regularly. */
  async refreshDiscovery(): Promise<void> {
    if (await this.#discovery?.refresh()) this.#log('the network interfaces have changed: listening there again')
  }

  onAddresses(listener: () => void): void {
    this.#libp2p.addEventListener('self:peer:update', () => listener())
  }

  #onClose({ remotePeer, remoteAddr, direction }: Connection): void {
    const peer = remotePeer.toString()
    const address = remoteAddr.toString()
    // A member that has left is expected back.
    if (direction === 'inbound' && this.#members.has(peer)) this.#gate.welcome(address, 'member')
    else if (direction === 'inbound') this.#gate.ended(address)
    if (!this.isConnected(peer)) this.#members.delete(peer)
  }

  #wrap(stream: Parameters<Parameters<Libp2p['handle']>[1]>[0], connection: Connection): ByteStream {
    return new Libp2pStream(stream, connection, this.#log)
  }

  // If there are several connections to a peer, we use the oldest open one, so that both sides tend to use the same
  // connection.
  #connectionTo(peer: PeerId): Connection | undefined {
    return this.#libp2p
      .getConnections(peerIdFromString(peer))
      .filter(connection => connection.status === 'open')
      .sort((a, b) => a.timeline.open - b.timeline.open)[0]
  }
}

function configOf(
  options: Libp2pHostOptions,
  privateKey: PrivateKey,
  { gate, discovery }: Pick<Parts, 'gate' | 'discovery'>
): Libp2pOptions {
  const { listen, announce = [], transports } = options
  return {
    start: false,
    privateKey,
    // The service `identify` sends this to strangers, instead of the versions of libp2p and Node.
    nodeInfo: { name: 'dfs-node', version: '1', userAgent: 'dfs-node' },
    addresses: { listen: [...listen], announce: [...announce] },
    transports: transports ?? [tcp(), closingWebSockets()],
    connectionEncrypters: [socketTls(options.logger), noise()],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: STREAM_WINDOW_BYTES } })],
    peerDiscovery: discovery === undefined ? [] : [components => discovery.serve(components)],
    services: { identify: identify(), ping: ping() },
    connectionGater: { denyInboundConnection: ({ remoteAddr }) => !gate.mayArrive(remoteAddr.toString()) },
    connectionManager: {
      maxConnections: CONNECTIONS_MAX,
      inboundConnectionThreshold: INBOUND_PER_S_MAX,
      maxIncomingPendingConnections: INBOUND_PENDING_MAX,
      dialTimeout: DIAL_TIMEOUT_MS,
      // Our own `Redialler` redials; libp2p gives up on a peer after a few tries.
      reconnectRetries: 0
    },
    // A busy machine may take seconds to answer a ping. With this timeout a dead machine is still noticed.
    connectionMonitor: { pingTimeout: { minTimeout: 15_000 } }
  }
}

function viaOf(connection: Connection): string {
  const names = connection.remoteAddr.getComponents().map(({ name }) => name)
  const transport =
    names.includes('ws') || names.includes('wss') ? 'ws' : names.includes('tcp') ? 'tcp' : (names[0] ?? 'unknown')
  const security = connection.encryption?.includes('tls') === true ? 'tls' : 'noise'
  return names.includes('p2p-circuit') ? `relay+${security}` : `${transport}+${security}`
}
