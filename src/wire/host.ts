import type { PeerId } from '../format/peer-id.ts'

/**
 * The wire, as a port: connections to peers whose ids have been proven, and streams of bytes over them. libp2p is one
 * implementation; a test may put another beneath the same rooms.
 */
export interface Host {
  readonly peerId: PeerId
  start(): Promise<void>
  stop(): Promise<void>

  /** Addresses under which others may reach this node, as multiaddr text without the peer id. */
  addresses(): string[]
  /** Takes streams of a protocol. To be called before `start`. */
  handle(protocol: string, handler: (stream: ByteStream) => void): void
  /** Opens a stream to a connected peer. Throws a `DisconnectedError` if there is no connection, or it ends meanwhile. */
  open(peer: PeerId, protocol: string, options: { signal: AbortSignal }): Promise<ByteStream>

  /**
   * Connects to whoever answers at one of these addresses, or to `peer` only; gives the id that was proven. Addresses
   * that make no sense here are passed over. Throws an `InvalidInputError` if none is left, a `DisconnectedError` if
   * nobody answers, or only somebody else, and the signal's reason once that fires.
   */
  dial(addresses: readonly string[], options: { signal: AbortSignal; peer?: PeerId | undefined }): Promise<PeerId>
  /** Ends every connection to a peer. */
  hangUp(peer: PeerId): Promise<void>
  isConnected(peer: PeerId): boolean
  connections(): ConnectionInfo[]

  /** The first connection to a peer was made, or its last one ended. */
  onPeer(listener: (event: 'connected' | 'disconnected', peer: PeerId) => void): void
  /**
   * A dial of ours led to a peer, over a connection that is new or one that was there. Told after `connected`; two that
   * dial each other at once both hear of it, however many connections come of that.
   */
  onDialled(listener: (peer: PeerId) => void): void
  /** A peer made itself known on the local network. */
  onDiscovered(listener: (peer: PeerId, addresses: string[]) => void): void
  /** The addresses of this node have changed. */
  onAddresses(listener: () => void): void
}

export interface ConnectionInfo {
  peer: PeerId
  /** The remote's address as multiaddr text. */
  address: string
  /** Which transport and security layer carry it, such as `tcp+tls`. */
  via: string
  latencyMs: number | undefined
  isOutbound: boolean
}

/** An ordered stream of bytes to and from one peer. What its reader asked for bounds what it may receive. */
export interface ByteStream {
  readonly peer: PeerId
  /** The remote's address as multiaddr text. */
  readonly address: string
  /**
   * Hands over bytes; resolves when there is room for more. One write at a time. Throws a `DisconnectedError` once the
   * stream has ended, also while it waits.
   */
  write(parts: readonly Uint8Array[]): Promise<void>
  /** Bytes as they come, from now on. Set once. */
  onData(listener: (bytes: Uint8Array) => void): void
  /** Called once, when the stream has ended for whatever reason. */
  onEnd(listener: (error: Error | undefined) => void): void
  /** Ends our side once everything written has left; the other side is told after it. */
  close(): Promise<void>
  /** Ends the stream at once, on both sides; what has not left is lost. */
  abort(error: Error): void
}
