import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { AVOID_MS } from '../constants.ts'

interface Health {
  /** Requests under way. */
  pending: number
  /** Smoothed milliseconds from request to block; undefined until it has delivered one. */
  latencyMs: number | undefined
  /** Smoothed share of requests for which it had the block. */
  hits: number
  faults: number
  /** Until when it is asked last, by the monotonic clock. */
  avoidedUntilAtMs: number
}

/** The latency that is assumed of a new peer until it has delivered a block. */
const UNKNOWN_LATENCY_MS = 50
const SMOOTHING = 0.2
/** A peer that had no block for a long time is still asked now and then. */
const HITS_MIN = 0.05

/** Measures each peer as a source of blocks: how fast it answers, how many requests it has, and its faults. */
export class PeerHealth {
  readonly #clock: Clock
  readonly #peers = new Map<PeerId, Health>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Notes that a request begins. The returned function is called when it ends. */
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

  /** Counts a fault: a wrong block, a malformed message or silence. For a while the peer is asked last. */
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

  /** How long this peer usually takes for a block. */
  latencyMs(peer: PeerId): number {
    return this.#peers.get(peer)?.latencyMs ?? UNKNOWN_LATENCY_MS
  }

  /** About how long one more block would take from this peer, given what it has been asked for already. */
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
