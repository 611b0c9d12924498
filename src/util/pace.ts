import type { Clock } from './clock.ts'

export interface PaceOptions {
  clock: Clock
  /** The shortest pause while there is more to do. */
  pauseMs: number
  /** While there is more to do, the pause is at least this many times as long as the round took. */
  rest: number
  /** The pause after a round that leaves nothing to do, or that fails. */
  idleMs: number
}

/** The pauses of a worker that rests in proportion to its work, so that users hardly notice it. */
export class Pace {
  readonly #options: PaceOptions
  #hasMore = false
  #tookMs = 0

  constructor(options: PaceOptions) {
    this.#options = options
  }

  /** The pause before the next round. */
  get nextMs(): number {
    const { pauseMs, rest, idleMs } = this.#options
    return this.#hasMore ? Math.max(pauseMs, rest * this.#tookMs) : idleMs
  }

  /** Does the work of one round, which returns true if there may be more to do. */
  async round(work: () => Promise<boolean>): Promise<void> {
    const { clock } = this.#options
    const beganAtMs = clock.monotonic()
    this.#hasMore = false
    this.#hasMore = await work()
    this.#tookMs = clock.monotonic() - beganAtMs
  }
}
