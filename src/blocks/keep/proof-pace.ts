import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'

export interface ProofPaceOptions {
  clock: Clock
  bytesPerS: number
  /** The most bytes of one peer that are hashed ahead of that rate. */
  burstBytes: number
}

/** When this many peers are remembered, those that have not asked for long are forgotten. */
const PEERS_MAX = 1_024

/**
 * Spreads the work that peers make us do over time. Each peer has a rate of its own, so a peer that asks for more than
 * others only waits longer for its answers.
 */
export class ProofPace {
  readonly #options: ProofPaceOptions
  /** For each peer, the monotonic time up to which its work is spread. */
  readonly #doneAtMs = new Map<PeerId, number>()

  constructor(options: ProofPaceOptions) {
    this.#options = options
  }

  /** Waits until a peer may make us hash this many more bytes. */
  async take(peer: PeerId, bytes: number, signal: AbortSignal): Promise<void> {
    const { clock, bytesPerS, burstBytes } = this.#options
    const nowMs = clock.monotonic()
    const startAtMs = Math.max(nowMs, this.#doneAtMs.get(peer) ?? nowMs)
    if (this.#doneAtMs.size >= PEERS_MAX) this.#forgetIdle(nowMs)
    this.#doneAtMs.set(peer, startAtMs + (bytes / bytesPerS) * 1000)
    const waitMs = startAtMs - nowMs - (burstBytes / bytesPerS) * 1000
    if (waitMs > 0) await clock.sleep(waitMs, signal)
  }

  #forgetIdle(nowMs: number): void {
    for (const [peer, doneAtMs] of this.#doneAtMs) if (doneAtMs <= nowMs) this.#doneAtMs.delete(peer)
  }
}
