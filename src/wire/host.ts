import type { PeerId } from '../format/peer-id.ts'
import type { ComponentLogger } from '../util/logger.ts'
import type { Welcome } from './arrival-gate.ts'

/**
 * The wire as a port: connections to peers that have proven their ids, and streams of bytes over those connections.
 * libp2p is one implementation. Tests run the same rooms over another one.
 */
export interface Host {
  readonly peerId: PeerId
  /** The logger of this node. Protocols over this host log with it. */
  readonly logger: ComponentLogger
  start(): Promise<void>
  stop(): Promise<void>

  /** Addresses under which others may reach this node, as multiaddr text without the peer id. */
  addresses(): string[]
  /** Sets the handler that receives each stream that a peer opens on a protocol. Call it before `start`. */
  handle(protocol: string, handler: (stream: ByteStream) => void): void
  /**
   * Opens a stream to a connected peer. Throws a `DisconnectedError` if there is no connection, or if the connection
   * ends meanwhile.
   */
  open(peer: PeerId, protocol: string, options: { signal: AbortSignal }): Promise<ByteStream>

  /**
   * Connects to the peer that answers at one of these addresses, or only to `peer` if it is given. Returns the id that
   * the peer proved. The host skips addresses that it cannot dial. Throws an `InvalidInputError` if none is left, a
   * `DisconnectedError` if nobody answers or only a different peer does, and the signal's reason once the signal fires.
   */
  dial(addresses: readonly string[], options: { signal: AbortSignal; peer?: PeerId | undefined }): Promise<PeerId>
  /** Ends every connection to a peer. */
  hangUp(peer: PeerId): Promise<void>
  isConnected(peer: PeerId): boolean
  connections(): ConnectionInfo[]

  /**
   * Says that a connected peer is a member, or a machine that waits to be let in. A host that limits how often strangers
   * connect then lets the peer's address connect again.
   */
  welcome?(peer: PeerId, as: Welcome): void

  /** Calls back when the first connection to a peer has been made, and when the last one has ended. */
  onPeer(listener: (event: 'connected' | 'disconnected', peer: PeerId) => void): void
  /**
   * Calls back when a dial of ours has reached a peer, over a new or an existing connection. This comes after
   * `connected`. If two hosts dial each other at the same time, the listener is called on both, however many
   * connections result.
   */
  onDialled(listener: (peer: PeerId) => void): void
  /**
   * Calls back when a peer has announced itself on the local network: at once if its addresses are new or have changed.
   * While it announces the same, the listener is called again at most once in `ANNOUNCED_AGAIN_MS`.
   */
  onDiscovered(listener: (peer: PeerId, addresses: string[]) => void): void
  /** Calls back when the addresses of this node have changed. */
  onAddresses(listener: () => void): void
}

export interface ConnectionInfo {
  peer: PeerId
  /** The remote's address as multiaddr text. */
  address: string
  /** The transport and the security layer, such as `tcp+tls`. */
  via: string
  latencyMs: number | undefined
  isOutbound: boolean
}

/** An ordered stream of bytes to and from one peer. */
export interface ByteStream {
  readonly peer: PeerId
  /** The remote's address as multiaddr text. */
  readonly address: string
  /**
   * Writes bytes, and resolves when there is room for more. Only one write may be under way. Throws a
   * `DisconnectedError` if the stream has ended, or ends while the write waits.
   */
  write(parts: readonly Uint8Array[]): Promise<void>
  /** Sets the listener that receives the bytes that arrive from now on. Set it only once. */
  onData(listener: (bytes: Uint8Array) => void): void
  /** Sets the listener that is called once, when the stream has ended for any reason. */
  onEnd(listener: (error: Error | undefined) => void): void
  /**
   * Ends our side once everything that was written has been sent. The other side learns of the end after it has
   * received those bytes.
   */
  close(): Promise<void>
  /** Ends the stream immediately on both sides. Bytes that have not been sent yet are lost. */
  abort(error: Error): void
}
