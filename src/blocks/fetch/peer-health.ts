import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { AVOID_MS } from '../constants.ts'

interface Health {
  /** The number of requests under way. */
  pending: number
  /** The smoothed time from request to block, in milliseconds; undefined until the peer has delivered a block. */
  latencyMs: number | undefined
  /** The smoothed share of requests for which the peer had the block. */
  hits: number
  faults: number
  /** Until this time of the monotonic clock, the peer is asked only after all others. */
  avoidedUntilAtMs: number
}

/** The latency that is assumed for a new peer until it has delivered a block. */
const UNKNOWN_LATENCY_MS = 50
const SMOOTHING = 0.2
/** A lower limit, so that a peer that has not had any requested block for a long time is still asked now and then. */
const HITS_MIN = 0.05

/**
 * Measures each peer as a source of blocks: how fast it answers, how often it has the block, how many requests to it
 * are under way, and its faults.
 */
export class PeerHealth {
  readonly #clock: Clock
  readonly #peers = new Map<PeerId, Health>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Notes that a request begins. The caller must call the returned function when the request ends. */
  begin(peer: PeerId): (outcome: 'delivered' | 'missing' | 'failed') => void {
    const health = this.#of(peer)
    const startedAtMs = this.#clock.monotonic()
    health.pending++
    return outcome => {
      health.pending--
      if (outcome === 'failed') return
      health.hits += ((outcome === 'delivered' ? 1 : 0) - health.hits) * SMOOTHING
      if (outcome === 'missing') return
      const latencyMs = this.#clock.monotonic() - startedAtMs
      health.latencyMs ??= latencyMs
      health.latencyMs += (latencyMs - health.latencyMs) * SMOOTHING
    }
  }

  /**
   * Counts a fault: a wrong block, a malformed message or silence. For some time, the peer is asked only after all
   * others.
   */
  fault(peer: PeerId): void {
    const health = this.#of(peer)
    health.faults++
    health.avoidedUntilAtMs = this.#clock.monotonic() + AVOID_MS
  }

  faults(peer: PeerId): number {
    return this.#peers.get(peer)?.faults ?? 0
  }

  isAvoided(peer: PeerId): boolean {
    return (this.#peers.get(peer)?.avoidedUntilAtMs ?? 0) > this.#clock.monotonic()
  }

  /** Returns how long this peer usually takes to deliver a block. */
  latencyMs(peer: PeerId): number {
    return this.#peers.get(peer)?.latencyMs ?? UNKNOWN_LATENCY_MS
  }

  /**
   * Returns a rough estimate of how long this peer would take for one more block. It grows with the number of requests
   * under way, and if the peer often does not have the block.
   */
  costMs(peer: PeerId): number {
    const health = this.#peers.get(peer)
    if (health === undefined) return UNKNOWN_LATENCY_MS
    return ((health.latencyMs ?? UNKNOWN_LATENCY_MS) * (1 + health.pending)) / Math.max(HITS_MIN, health.hits)
  }

  #of(peer: PeerId): Health {
    let health = this.#peers.get(peer)
    if (health === undefined) {
      health = { pending: 0, latencyMs: undefined, hits: 1, faults: 0, avoidedUntilAtMs: 0 }
      this.#peers.set(peer, health)
    }
    return health
  }
}
