import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { AVOID_MS } from './constants.ts'

interface Health {
  /** Requests under way. */
  pending: number
  /** Smoothed milliseconds from question to answer. */
  latencyMs: number
  faults: number
  avoidUntilMs: number
}

/** How a new peer is judged until it has answered once. */
const UNKNOWN_LATENCY_MS = 50
const SMOOTHING = 0.2

/** What this node has seen of each peer as a source: how fast it answers, how busy we keep it, what it did wrong. */
export class PeerHealth {
  readonly #clock: Clock
  readonly #peers = new Map<PeerId, Health>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Notes a request; the returned function notes its end. */
  begin(peer: PeerId): (outcome: 'delivered' | 'failed') => void {
    const health = this.#of(peer)
    const started = this.#clock.monotonic()
    health.pending++
    return outcome => {
      health.pending--
      if (outcome === 'failed') return
      const latencyMs = this.#clock.monotonic() - started
      health.latencyMs += (latencyMs - health.latencyMs) * SMOOTHING
    }
  }

  /** Counts a fault: a wrong block, garbage, silence. For a while the peer is asked last. */
  fault(peer: PeerId): void {
    const health = this.#of(peer)
    health.faults++
    health.avoidUntilMs = this.#clock.monotonic() + AVOID_MS
  }

  faults(peer: PeerId): number {
    return this.#peers.get(peer)?.faults ?? 0
  }

  isAvoided(peer: PeerId): boolean {
    return (this.#peers.get(peer)?.avoidUntilMs ?? 0) > this.#clock.monotonic()
  }

  /** About how long this peer would take to answer one more. */
  costMs(peer: PeerId): number {
    const health = this.#peers.get(peer)
    return health === undefined ? UNKNOWN_LATENCY_MS : health.latencyMs * (1 + health.pending)
  }

  #of(peer: PeerId): Health {
    let health = this.#peers.get(peer)
    if (health === undefined) {
      health = { pending: 0, latencyMs: UNKNOWN_LATENCY_MS, faults: 0, avoidUntilMs: 0 }
      this.#peers.set(peer, health)
    }
    return health
  }
}
