import type { PeerId } from '../format/peer-id.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { ProtocolError } from './errors.ts'

export interface PeerFaultsOptions {
  log: Logger
  /** Called with each peer that broke a protocol or kept us waiting too long. */
  onFault?: ((peer: PeerId) => void) | undefined
}

/** The only place where a peer is blamed for what it sent, or for what it did not send in time. */
export class PeerFaults {
  readonly #options: PeerFaultsOptions

  constructor(options: PeerFaultsOptions) {
    this.#options = options
  }

  blame(peer: PeerId, error: Error): void {
    const { log, onFault } = this.#options
    log('%s is at fault: %s', peer, reasonOf(error))
    onFault?.(peer)
  }

  /** Reads what a peer sent. Blames the peer if `read` throws a `ProtocolError`, and rethrows every error. */
  read<T>(peer: PeerId, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (error instanceof ProtocolError) this.blame(peer, error)
      throw error
    }
  }
}
